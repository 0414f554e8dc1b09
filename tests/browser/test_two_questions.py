"""Two questions about one picture: what the question before kept, beside what this one keeps."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Served, Visit, ask, browser_mask, canvas, choose, set_threshold, still
from tests.browser.test_truth import pixels


def toggle(page: Page) -> Locator:
    return page.locator(".both-toggle")


def test_the_tokens_of_the_question_before_are_outlined_and_counted(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page, "First?")
    expect(toggle(page)).to_have_count(0)
    before = np.array(browser_mask(page), dtype=bool)
    set_threshold(page, "0.2")
    ask(page, "Second?")
    now = np.array(browser_mask(page), dtype=bool)
    assert before.sum() < now.sum() < now.size
    canvas(page).blur()
    page.mouse.move(0, 0)
    still(page)
    alone = pixels(page)
    expect(page.locator(".both-words")).to_be_hidden()
    toggle(page).focus()
    toggle(page).press("Enter")
    expect(toggle(page)).to_have_text("Hide the question before")
    expect(toggle(page)).to_be_focused()
    answer = page.locator(".card.kept .text").inner_text()
    expect(page.locator(".both-words")).to_have_text(
        f"Before: “First?” kept {before.sum()} tokens, {(before & now).sum()} of them among the {now.sum()} kept now. "
        f"It was answered: {answer}"
    )
    grid = fake.session.grids[0]
    check(pixels(page), alone, before.reshape(grid.rows, grid.cols))
    expect(page.locator(".legend")).to_contain_text("question before")
    toggle(page).press("Enter")
    assert (pixels(page) == alone).all()


def check(shown: np.ndarray, alone: np.ndarray, before: np.ndarray) -> None:
    """Something changed along every edge of the tokens of the question before, and nowhere else."""
    changed = (shown != alone).any(-1)
    y, x = (
        np.linspace(0, size, count + 1).round().astype(int)
        for size, count in zip(changed.shape, before.shape, strict=True)
    )
    padded = np.pad(before, 1)
    for (row, col), on in np.ndenumerate(before):
        inner = changed[y[row] + 6 : y[row + 1] - 6, x[col] + 6 : x[col + 1] - 6]
        assert not inner.any(), (row, col)
        if on and not padded[row, col + 1]:  # its upper edge
            edge = changed[max(0, y[row] - 2) : y[row] + 3, x[col] + 3 : x[col + 1] - 3]
            assert edge.any(), (row, col)


def test_it_goes_with_the_picture_and_stays_when_a_question_is_repeated(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page, "First?")
    ask(page, "Second?")
    toggle(page).click()
    ask(page, "Second?")
    expect(page.locator(".both-words")).to_contain_text("Before: “First?”")
    choose(page, fake, 3)
    ask(page, "Third?")
    expect(toggle(page)).to_have_count(0)
    expect(page.locator(".both-words")).to_be_hidden()
