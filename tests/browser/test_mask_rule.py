"""The browser's selection rule and the engine's, on one table of cases: masks and reasons must be equal, not close."""

from __future__ import annotations

import random

import torch
from playwright.sync_api import Browser

from glimpse_core.glimpse.selection import ANCHORS, REASONS, paint, select
from glimpse_core.types import Grid, Selection
from glimpse_core.ui.component import STATIC
from glimpse_core.ui.payloads import floats, settings_payload

RUN = """([code, cases]) => {
    const [run, stroke, reasons] = new Function(code + "; return [selectTokens, paintTokens, REASONS];")();
    const decode = (text) => new Float32Array(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);
    return [reasons, cases.map(([scores, settings, grid, strokes]) => {
        const { mask, reason, kept } = stroke(run(decode(scores), settings, undefined, grid), new Map(strokes));
        return [[...mask], [...reason], kept];
    })];
}"""


Case = tuple[torch.Tensor, Selection, Grid, dict[int, bool]]


def cases() -> list[Case]:
    """Random and hand-picked scores with ties, infinities and saturation; thresholds that hit a score exactly; caps,
    floors, anchors of grids down to one token, and strokes.
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
        table.append((logits, Selection(threshold, rng.choice(ratios), rng.choice(floors), anchors), grid, strokes))
    return table + extremes()


def extremes() -> list[Case]:
    """Every score the same, none at all, and a share that is hit exactly."""
    same, third = torch.full((10,), 0.0), torch.tensor([9.0, 9, 9, -9, -9, -9, -9, -9, -9, -9])
    settings = [
        (same, Selection(0.5)),
        (same, Selection(0.4, 0.3)),
        (same, Selection(0.5, None, 3)),
        (third, Selection(0.5, 0.3)),  # 3 of 10 is not more than 0.3
        (third, Selection(0.5, 0.29)),
        (third, Selection(0.5, 0.1, 5)),
        (third, Selection(0.5, 0.0, 0, ANCHORS)),
    ]
    empty = (same[:0], Selection(), Grid(0, 0), {})
    return [empty, *((logits, selection, Grid(2, 5), {}) for logits, selection in settings)]


def test_browser_and_engine_select_the_same_tokens(browser: Browser) -> None:
    table = cases()
    assert len(table) >= 200
    page = browser.new_page()
    sent = [
        [
            floats(logits.sigmoid()),
            settings_payload(selection),
            {"rows": grid.rows, "cols": grid.cols},
            [list(stroke) for stroke in strokes.items()],
        ]
        for logits, selection, grid, strokes in table
    ]
    reasons, results = page.evaluate(RUN, [(STATIC / "select.js").read_text(encoding="utf-8"), sent])
    page.close()
    assert tuple(reasons) == REASONS
    seen = set()
    for (logits, selection, grid, strokes), (mask, reason, kept) in zip(table, results, strict=True):
        expected = paint(select(logits, selection, grid), strokes)
        assert mask == expected.mask.int().tolist(), (logits, selection, strokes)
        assert reason == expected.reason.tolist(), (logits, selection, strokes)
        assert kept == int(expected.mask.sum())
        seen.update(reason)
    assert seen == set(range(len(REASONS)))  # every reason there is
