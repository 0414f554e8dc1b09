"""Painting, erasing and the two controls: the answer has exactly the tokens that the canvas shows."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from glimpse_core.types import Selection
from tests.browser.conftest import (
    Served,
    Visit,
    ask,
    browser_mask,
    canvas,
    finished,
    more,
    paint,
    set_threshold,
    upload,
)
from tests.browser.fake import PATCH


def tool(page: Page, name: str) -> None:
    page.get_by_role("radiogroup", name="Paint tokens by hand").get_by_role("radio", name=name).click()


def drag(page: Page, start: tuple[int, int], end: tuple[int, int], grid: tuple[int, int]) -> None:
    """Press on one token (row, column), move to another, let go."""
    box = canvas(page).bounding_box()
    assert box is not None
    places = [
        (box["x"] + (col + 0.5) * box["width"] / grid[1], box["y"] + (row + 0.5) * box["height"] / grid[0])
        for row, col in (start, end)
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1])
    page.mouse.up()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()  # from now on "Ask" cannot be pressed, until the answer is there
    finished(page)


def test_painted_and_erased_tokens_are_answered_with(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    upload(page, paint(tmp_path / "one.png", (10 * PATCH, 6 * PATCH), 2, 3))
    fake.model.pace, fake.model.words = 0.02, 8
    ask(page, "Where?")
    session = fake.session
    assert sum(browser_mask(page)) == 1
    tool(page, "Keep")
    drag(page, (4, 1), (4, 6), (6, 10))
    kept = {23, *range(41, 47)}
    assert {index for index, on in enumerate(browser_mask(page)) if on} == kept
    expect(page.locator(".count")).to_contain_text("7 of 60 tokens kept")
    expect(page.locator(".words")).to_contain_text("painted in")
    tool(page, "Drop")
    drag(page, (2, 3), (2, 3), (6, 10))
    expect(page.locator(".words")).to_contain_text("erased")
    kept.remove(23)
    tool(page, "Look")
    canvas(page).focus()
    page.keyboard.press("ArrowDown")  # to the most relevant token, which is erased
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    kept.add(33)
    set_threshold(page, "0.9")  # paint has the last word, whatever the threshold says
    assert {index for index, on in enumerate(browser_mask(page)) if on} == kept
    expect(page.locator("#glimpse-again[data-wanted]")).to_be_visible()
    press(page, "Answer again")
    assert {index for index, on in enumerate(session.masks[-1]) if on} == kept
    assert fake.session is session and session.counters["vision"] == 1
    expect(page.locator("#glimpse-again[data-wanted]")).to_have_count(0)
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.9, 7 painted in, 1 erased")
    page.get_by_role("button", name="Clear 8 painted").click()
    assert browser_mask(page) == session.select(Selection(0.9)).mask.int().tolist()


def test_random_and_inverse_answer_with_what_they_show(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    fake.model.pace, fake.model.words = 0.02, 8
    ask(page)
    session = fake.session
    chosen = session.select().mask.int().tolist()
    press(page, "Only the dropped")
    assert session.masks[-1] == [1 - on for on in chosen] == browser_mask(page)
    expect(page.locator(".card.kept .hint")).to_contain_text("only the dropped tokens")
    drawn = []
    for _ in range(2):
        press(page, "Random instead")
        drawn.append(session.masks[-1])
        assert sum(drawn[-1]) == sum(chosen) and drawn[-1] != chosen
        assert browser_mask(page) == drawn[-1]
    assert drawn[0] != drawn[1]  # another draw each time
    expect(page.locator(".count")).to_contain_text(": random tokens, same budget")
    press(page, "Answer again")  # with these very tokens
    assert session.masks[-1] == drawn[-1]
    page.get_by_role("button", name="Back to the glimpse's choice").click()
    assert browser_mask(page) == chosen
    press(page, "Answer again")
    assert session.masks[-1] == chosen
    assert session.counters["vision"] == session.counters["trunk"] == 1


def test_corners_are_kept_for_one_picture(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    first = paint(tmp_path / "one.png", (10 * PATCH, 6 * PATCH), 2, 3)
    upload(page, first)
    ask(page, "Where?")
    more(page)
    page.get_by_role("checkbox", name="top right").check()
    page.get_by_role("checkbox", name="bottom left").check()
    page.wait_for_function("window.glimpse.stage.settings.anchors.length === 2")
    expected = fake.session.select(Selection(anchors=("tr", "bl"))).mask.int().tolist()
    assert browser_mask(page) == expected and sum(expected) == 3
    press(page, "Answer again")
    assert fake.session.masks[-1] == expected
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.5, 2 corners")
    upload(page, first, first)
    expect(page.locator(".pages button")).to_have_count(2)
    ask(page, "And now?", wait=False)
    expect(page.get_by_role("alert")).to_contain_text(
        "Anchors are top right, bottom left, for 2 pictures. Expected none"
    )
