"""The browser's selection rule and the engine's, on one table of cases: masks and reasons must be equal, not close."""

from __future__ import annotations

import random

import torch
from playwright.sync_api import Browser

from glimpse_core.select import REASONS, select
from glimpse_core.types import Selection
from glimpse_core.ui.component import STATIC
from glimpse_core.ui.payloads import floats, settings_payload

RUN = """([code, cases]) => {
    const [run, reasons] = new Function(code + "; return [selectTokens, REASONS];")();
    const decode = (text) => new Float32Array(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);
    return [reasons, cases.map(([scores, settings]) => {
        const { mask, reason, kept } = run(decode(scores), settings);
        return [[...mask], [...reason], kept];
    })];
}"""


def cases() -> list[tuple[torch.Tensor, Selection]]:
    """Random and hand-picked scores with ties, infinities and saturation; thresholds that hit a score exactly."""
    rng = random.Random(7)
    torch.manual_seed(7)
    thresholds = (0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)
    ratios = (None, None, 0.0, 0.01, 0.1, 0.15, 1 / 3, 0.5, 0.57, 0.9, 1.0)
    floors = (0, 1, 1, 2, 5, 64)
    table = []
    for number in range(260):
        count = rng.choice((1, 2, 3, 7, 16, 100, 400))
        logits = torch.randn(count) * rng.choice((0.1, 1, 4, 40))
        if number % 3 == 0:  # many equals
            logits = (logits * 2).round() / 2
        if number % 7 == 0:
            logits[rng.randrange(count)] = rng.choice((float("inf"), float("-inf"), 0.0, 100.0))
        threshold = rng.choice(thresholds)
        if number % 5 == 0:
            threshold = float(logits.sigmoid()[rng.randrange(count)])
        table.append((logits, Selection(threshold, rng.choice(ratios), rng.choice(floors))))
    same = torch.full((10,), 0.0)
    table += [(same, Selection(0.5)), (same, Selection(0.4, 0.3)), (same, Selection(0.5, None, 3))]
    table += [(same[:0], Selection())]
    third = torch.tensor([9.0, 9, 9, -9, -9, -9, -9, -9, -9, -9])  # 3 of 10 is not more than 0.3
    table += [(third, Selection(0.5, 0.3)), (third, Selection(0.5, 0.29)), (third, Selection(0.5, 0.1, 5))]
    return table


def test_browser_and_engine_select_the_same_tokens(browser: Browser) -> None:
    table = cases()
    assert len(table) >= 200
    page = browser.new_page()
    sent = [[floats(logits.sigmoid()), settings_payload(selection)] for logits, selection in table]
    reasons, results = page.evaluate(RUN, [(STATIC / "select.js").read_text(encoding="utf-8"), sent])
    page.close()
    assert tuple(reasons) == REASONS
    seen = set()
    for (logits, selection), (mask, reason, kept) in zip(table, results, strict=True):
        expected = select(logits, selection)
        assert mask == expected.mask.int().tolist(), (logits, selection)
        assert reason == expected.reason.tolist(), (logits, selection)
        assert kept == int(expected.mask.sum())
        seen.update(reason)
    assert seen == {0, 1, 2, 3}  # every reason that the page's controls can cause
