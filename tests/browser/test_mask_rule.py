"""The browser's selection rule and the engine's, on one table of cases: masks and reasons must be equal, not close."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Browser

from glimpse_core.glimpse.selection import REASONS
from glimpse_core.glimpse.settings import ANCHORS as CORNERS
from glimpse_core.glimpse.settings import to_json
from glimpse_core.inference.choice import choose
from glimpse_core.types import Grid, ManualEdits, Selection, Settings
from glimpse_core.ui.payloads import floats
from tests.browser.conftest import Served
from tests.browser.modules import imported

ANCHORS = tuple(CORNERS.choices)

# The rule by itself, and as the page asks for what is kept.
RUN = """given.map(([text, settings, pictures]) => {
    const probabilities = new Float32Array(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);
    const grid = pictures.length === 1 ? pictures[0] : null;
    const alone = paintTokens(selectTokens(probabilities, settings, undefined, grid), strokesOf(settings));
    const scores = { probabilities, order: rankTokens(probabilities) };
    const state = { scores, settings, controlMask: null, pictures };
    const found = [alone, selectionOf(state)].map(({ mask, reason, kept }) => [[...mask], [...reason], kept]);
    return [...found, ownChoice(state)];
})"""


Case = tuple[torch.Tensor, Settings, Grid]


def cases() -> list[Case]:
    """Random and hand-picked scores with ties, infinities and saturation; thresholds that hit a score exactly; caps,
    floors, budgets, anchors of grids down to one token, and strokes.
    """
    rng = random.Random(7)
    torch.manual_seed(7)
    thresholds = (0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)
    ratios = (None, None, 0.0, 0.01, 0.1, 0.15, 1 / 3, 0.5, 0.57, 0.9, 1.0)
    floors = (0, 1, 1, 2, 5, 64)
    table: list[Case] = []
    for number in range(320):
        grid = Grid(rng.choice((1, 1, 2, 3, 7, 20)), rng.choice((1, 1, 2, 5, 16, 28)))
        count = grid.tokens
        logits = torch.randn(count) * rng.choice((0.1, 1, 4, 40))
        if number % 3 == 0:  # many equals
            logits = (logits * 2).round() / 2
        if number % 7 == 0:
            logits[rng.randrange(count)] = rng.choice((float("inf"), float("-inf"), 0.0, 100.0))
        threshold = rng.choice(thresholds)
        if number % 5 == 0:
            threshold = float(logits.sigmoid()[rng.randrange(count)])
        anchors = tuple(name for name in ANCHORS if number % 2 and rng.random() < 0.5)
        strokes = {rng.randrange(count): rng.random() < 0.5 for _ in range(rng.choice((0, 0, 1, 9)))}
        edits = ManualEdits(
            *(tuple(sorted(token for token, kept in strokes.items() if kept is on)) for on in (True, False))
        )
        budget = rng.choice((1, 2, 5, 24, 700)) if number % 4 == 0 else None
        selection = Selection(threshold, rng.choice(ratios), rng.choice(floors), anchors)
        table.append((logits, Settings(selection, budget, edits), grid))
    return table + extremes()


def extremes() -> list[Case]:
    """Every score the same, none at all, and a share that is hit exactly."""
    same, third = torch.full((10,), 0.0), torch.tensor([9.0, 9, 9, -9, -9, -9, -9, -9, -9, -9])
    near = [float(np.nextafter(0.3, towards)) for towards in (0, 1)]  # the same float32, but not the same number
    settings = [
        *((third, Selection(0.5, share)) for share in near),
        (same, Selection(0.5)),
        (same, Selection(0.4, 0.3)),
        (same, Selection(0.5, None, 3)),
        (third, Selection(0.5, 0.3)),  # 3 of 10 is not more than 0.3
        (third, Selection(0.5, 0.29)),
        (third, Selection(0.5, 0.1, 5)),
        (third, Selection(0.5, 0.0, 0, ANCHORS)),
    ]
    budgets = [
        (logits, Settings(Selection(1.0, 0.0, 9, ANCHORS), budget), Grid(2, 5))
        for logits in (same, third)
        for budget in (1, 10, 99)
    ]
    empty = [(same[:0], Settings(budget=budget), Grid(0, 0)) for budget in (None, 3)]
    return [*empty, *budgets, *((logits, Settings(selection), Grid(2, 5)) for logits, selection in settings)]


def test_browser_and_engine_select_the_same_tokens(browser: Browser, fake_page: Served) -> None:
    table = cases()
    assert len(table) >= 200
    seen: set[int] = set()
    for (logits, settings, grid), (alone, asked, own) in zip(table, run(browser, fake_page, table), strict=True):
        expected = choose(logits, [grid], settings)
        found = [expected.mask.int().tolist(), expected.reason.tolist(), int(expected.mask.sum())]
        assert alone == found, (logits, settings)
        assert asked == found, (logits, settings)
        rule = replace(settings, budget=None, edits=ManualEdits())
        assert own == int(choose(logits, [grid], rule).mask.sum())
        seen.update(found[1])
    assert seen == set(range(len(REASONS)))  # every reason there is


def test_several_pictures_are_one_row_of_tokens(browser: Browser, fake_page: Served) -> None:
    """Without anchors, which are corners of one picture."""
    table = [
        (logits, replace(settings, selection=replace(settings.selection, anchors=())), grid)
        for logits, settings, grid in cases()
        if grid.rows > 1
    ]
    assert len(table) >= 100
    results = run(browser, fake_page, table, split=True)
    for (logits, settings, grid), (alone, asked, _) in zip(table, results, strict=True):
        expected = choose(logits, [Grid(1, grid.cols), Grid(grid.rows - 1, grid.cols)], settings)
        found = [expected.mask.int().tolist(), expected.reason.tolist(), int(expected.mask.sum())]
        assert alone == asked == found, (logits, settings)


def run(browser: Browser, served: Served, table: list[Case], split: bool = False) -> Any:
    """RUN on every case. split: the first row of tokens is a picture of its own."""

    def pictures(grid: Grid) -> list[dict[str, int]]:
        rows = (1, grid.rows - 1) if split else (grid.rows,)
        return [{"rows": count, "cols": grid.cols} for count in rows]

    sent = [[floats(logits.sigmoid()), to_json(settings), pictures(grid)] for logits, settings, grid in table]
    with imported(browser, served, "state/settings", "state/select", "state/selection") as call:
        return call(RUN, sent)
