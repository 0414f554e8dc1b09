"""The evidence on the stage: outlined where known, striped where missed, and counted as the engine does."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.types import Grid
from tests.browser.conftest import (
    Served,
    Visit,
    ask,
    browser_mask,
    canvas,
    choose,
    finished,
    set_threshold,
    still,
    view,
)

PIXELS = "document.querySelector('.glimpse-stage .frame canvas').toDataURL('image/png').split(',')[1]"


def pixels(page: Page) -> np.ndarray:
    """The canvas: (height, width, 3)."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(page.evaluate(PIXELS)))).convert("RGB"), dtype=int)


def toggle(page: Page) -> Locator:
    return page.get_by_role("button", name="Evidence", exact=True)


def known(page: Page, served: Served, number: int, text: str | None = None) -> tuple[Any, np.ndarray]:
    """Ask an example's own question. Returns its grid and the evidence by the engine's rule, (rows, cols)."""
    example = served.flow.gallery.examples[number]
    if number:
        choose(page, served, number)
    text = text or example.questions[0][0]
    ask(page, text)
    grid: Grid = served.session.grids[0]
    return grid, box_mask(example.evidence[text], grid).numpy().reshape(grid.rows, grid.cols)


def test_evidence_is_outlined_and_what_was_missed_is_striped(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    grid, evidence = known(page, fake, 0)
    set_threshold(page, "0.02")
    kept = np.array(browser_mask(page), dtype=bool).reshape(evidence.shape)
    set_threshold(page, str(np.median(fake.session.probabilities.numpy()[evidence.flatten()]).round(3)))
    kept = np.array(browser_mask(page), dtype=bool).reshape(evidence.shape)
    assert (kept & evidence).any() and (~kept & evidence).any()
    canvas(page).blur()
    page.mouse.move(0, 0)
    still(page)
    before = pixels(page)
    expect(page.locator(".cover")).to_be_hidden()
    toggle(page).click()
    expect(toggle(page)).to_have_attribute("aria-pressed", "true")
    after = pixels(page)
    changed = (before != after).any(-1)
    y, x = (
        np.linspace(0, size, count + 1).round().astype(int)
        for size, count in zip(changed.shape, evidence.shape, strict=True)
    )
    for (row, col), meant in np.ndenumerate(evidence):
        inner = changed[y[row] + 4 : y[row + 1] - 4, x[col] + 4 : x[col + 1] - 4]
        assert inner.any() == (meant and not kept[row, col]), (row, col)
    left, right = np.flatnonzero(evidence.any(0))[[0, -1]]
    top, bottom = np.flatnonzero(evidence.any(1))[[0, -1]]
    row = (y[top] + y[bottom + 1]) // 2
    assert changed[max(0, y[top] - 1) : y[top] + 2, x[left] : x[right + 1]].any(0).mean() > 0.3  # dashes
    assert changed[row - 40 : row + 40, max(0, x[left] - 1) : x[left] + 2].any()
    found, missed, more = ((kept & evidence).sum(), (~kept & evidence).sum(), (kept & ~evidence).sum())
    expect(page.locator(".cover")).to_have_text(
        f"Evidence: {found} of {evidence.sum()} tokens found (recall {100 * found / evidence.sum():.1f}%), "
        f"{missed} missed, {more} more kept."
    )
    for name in ("Picture", "Heat map", "Kept only", "Wipe"):
        view(page, name)
        shown = pixels(page)
        toggle(page).click()
        assert (shown != pixels(page)).any(), name
        toggle(page).click()


def test_a_question_without_known_evidence_has_no_switch(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    known(page, fake, 0)
    expect(toggle(page)).to_be_visible()
    toggle(page).click()
    ask(page, "Who are you?")
    expect(toggle(page)).to_be_hidden()
    expect(page.locator(".cover")).to_be_hidden()
    known(page, fake, 0)
    expect(page.locator(".cover")).to_be_visible()  # as it was left


def test_evidence_of_a_stored_result_is_on_the_link(fake: Served, visit: Visit, context: BrowserContext) -> None:
    page = visit(fake)
    known(page, fake, 3)
    toggle(page).click()
    page.wait_for_function("new URLSearchParams(location.search).get('evidence') === '1'")
    other = context.new_page()
    other.goto(page.url)
    finished(other)
    expect(toggle(other)).to_have_attribute("aria-pressed", "true")
    expect(other.locator(".cover")).to_have_text(page.locator(".cover").inner_text())
    toggle(other).click()
    other.wait_for_function("!location.search.includes('evidence')")
