"""Words and tokens: pointing at a word lights the tokens that it needs, pointing at a token the words that need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import (
    DESKTOP,
    PHONE,
    Served,
    Visit,
    ask,
    canvas,
    ended,
    paint,
    ready,
    shown,
    status,
    still,
    until,
    upload,
    view,
)
from tests.browser.fake import PATCH, FakeSession, needs_of
from tests.browser.test_access import in_every_look, serious
from tests.browser.test_dial import banded, dial
from tests.browser.test_look import BLOCKS, WATCH
from tests.browser.test_truth import pixels

PHASE = "window.glimpse.store.get().words.phase"
INNER = 5  # pixels of a token beside its border


def start(page: Page) -> Locator:
    return page.get_by_role("button", name="Word by word")


def word(page: Page, number: int, side: str = "kept") -> Locator:
    return page.locator(f".card.{side} .word").nth(number)


def line(page: Page, side: str = "kept") -> Locator:
    """What stands under an answer, as it is seen."""
    return page.locator(f".card.{side} .needs .line > :first-child")


def lit(page: Page, side: str = "kept") -> list[int]:
    """Numbers of the words that are lit."""
    chosen = f"[...document.querySelectorAll('.card.{side} .word[data-lit]')].map((node) => Number(node.dataset.word))"
    return page.evaluate(chosen)


def attributed(page: Page) -> None:
    """Press the button, and wait until the words of both answers are known."""
    banded(page)
    start(page).click()
    page.wait_for_function(f"{PHASE} === 'done'")


def needs(session: FakeSession, mask: list[int] | None, text: str) -> list[tuple[bool, tuple[int, ...]]]:
    import torch

    kept = torch.ones(len(session.logits)) if mask is None else torch.tensor(mask)
    return needs_of(text, kept.bool())


def changed_tokens(page: Page, before: np.ndarray, grid: Any) -> list[int]:
    """Tokens of which the inside differs from an earlier canvas, in raster order."""
    changed = (before != pixels(page)).any(-1)
    y, x = (
        np.linspace(0, size, count + 1).round().astype(int)
        for size, count in zip(changed.shape, (grid.rows, grid.cols), strict=True)
    )
    inside = (
        changed[y[row] + INNER : y[row + 1] - INNER, x[col] + INNER : x[col + 1] - INNER].all()
        for row in range(grid.rows)
        for col in range(grid.cols)
    )
    return [token for token, inner in enumerate(inside) if inner]


def away(page: Page) -> None:
    """Point at nothing."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    still(page)


@pytest.fixture
def worded(fake: Served, visit: Visit) -> Page:
    """The page with both answers of the first example and what their words need."""
    page = visit(fake)
    ask(page)
    attributed(page)
    away(page)
    return page


def test_a_pointed_word_lights_exactly_its_tokens_in_every_view(worded: Page, fake: Served) -> None:
    page, session = worded, fake.session
    (grid,), (kept, *_) = session.grids, [mask for mask in session.masks if mask is not None]
    for side, mask in (("kept", kept), ("full", None)):
        text = page.locator(f".card.{side} .text").inner_text()
        expected = needs(session, mask, text)
        assert page.locator(f".card.{side} .word").all_inner_texts() == text.split()
        for number, (depends, tokens) in list(enumerate(expected))[:6]:
            before = pixels(page)
            word(page, number, side).hover()
            said = f"“{text.split()[number]}” needs "
            many = "1 token" if len(tokens) == 1 else f"{len(tokens)} tokens"
            expect(line(page, side)).to_have_text(
                said + (f"{many}." if tokens else "the picture as a whole." if depends else "no token.")
            )
            assert changed_tokens(page, before, grid) == list(tokens) and lit(page, side) == [number]
            assert lit(page, "full" if side == "kept" else "kept") == []
            away(page)
            assert (before == pixels(page)).all() and lit(page, side) == []
            expect(line(page, side)).to_have_text("Point at a word or at a token.")
    tokens = list(needs(session, kept, page.locator(".card.kept .text").inner_text())[0][1])
    for name in ("Picture", "Heat map", "Kept only", "Wipe", "Layers"):
        view(page, name)
        away(page)
        before = pixels(page)
        word(page, 0).hover()
        assert changed_tokens(page, before, grid) == tokens, name


def test_a_lit_token_has_the_color_of_the_legend(worded: Page, fake: Served) -> None:
    page, (grid,) = worded, fake.session.grids
    expect(page.locator(".legend")).to_contain_text("needed by a word")
    view(page, "Picture")
    away(page)
    before = pixels(page)
    word(page, 0).hover()
    (token, *_) = changed_tokens(page, before, grid)
    row, col = divmod(token, grid.cols)
    y, x = ((2 * place + 1) * size // (2 * count) for place, size, count in zip(
        (row, col), before.shape, (grid.rows, grid.cols), strict=False))  # fmt: skip
    ink = page.evaluate("window.glimpse.stage.inks.word").removeprefix("#")
    color = np.array([int(ink[at : at + 2], 16) for at in (0, 2, 4)])
    assert np.abs(pixels(page)[y, x] - (0.65 * before[y, x] + 0.35 * color)).max() < 3
    border = "getComputedStyle(document.querySelector('.legend i.needed')).borderTopColor"
    assert page.evaluate(border) == f"rgb({', '.join(map(str, color))})"


def test_a_pointed_token_lights_the_words_that_need_it(worded: Page, fake: Served) -> None:
    page, session = worded, fake.session
    (grid,), (kept, *_) = session.grids, [mask for mask in session.masks if mask is not None]
    found = {
        side: needs(session, mask, page.locator(f".card.{side} .text").inner_text())
        for side, mask in (("kept", kept), ("full", None))
    }
    box = canvas(page).bounding_box()
    for token in (found["kept"][0][1][0], found["kept"][1][1][0], found["full"][3][1][0], grid.tokens - 1):
        row, col = divmod(token, grid.cols)
        page.mouse.move(
            box["x"] + (col + 0.5) * box["width"] / grid.cols, box["y"] + (row + 0.5) * box["height"] / grid.rows
        )
        expect(page.locator(".words")).to_contain_text(f"Row {row + 1}, column {col + 1} ")
        for side, words in found.items():
            carried = [number for number, (_, tokens) in enumerate(words) if token in tokens]
            assert lit(page, side) == carried, (token, side)
            texts = [word(page, number, side).inner_text() for number in carried]
            said = (
                f"This token is needed for {', '.join(f'“{text}”' for text in texts)}."
                if texts
                else "No word needs this token."
            )
            expect(line(page, side)).to_have_text(said)
    away(page)
    assert lit(page) == lit(page, "full") == []


def test_the_keyboard_reaches_every_word_and_token(worded: Page, fake: Served) -> None:
    page, (grid,) = worded, fake.session.grids
    count = page.locator(".card.kept .word").count()
    assert page.locator(".card.kept .word[tabindex='0']").count() == 1
    before = pixels(page)
    word(page, 0).focus()
    lights = changed_tokens(page, before, grid)
    assert lights and lit(page) == [0]
    for key, at in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", count - 1),
        ("ArrowRight", count - 1),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        expect(word(page, at)).to_be_focused()
        assert lit(page) == [at] and page.locator(".card.kept .word[tabindex='0']").count() == 1
    expect(page.locator(".card.kept .unseen")).to_have_text(_place(lights, grid))
    expect(page.locator(".card.kept .line")).to_have_attribute("aria-live", "polite")
    page.keyboard.press("Tab")
    expect(word(page, 0, "full")).to_be_focused()
    assert lit(page) == [] and lit(page, "full") == [0]
    page.keyboard.press("Escape")
    assert lit(page, "full") == [] and (pixels(page) == before).all()
    canvas(page).focus()
    page.keyboard.press("ArrowRight")  # the most relevant token
    best = page.evaluate("window.glimpse.stage.cell")
    carried = [number for number, (_, tokens) in enumerate(needs(fake.session, fake.session.masks[0], page.locator(
        ".card.kept .text").inner_text())) if best in tokens]  # fmt: skip
    assert lit(page) == carried


def _place(tokens: list[int], grid: Any) -> str:
    """Where tokens lie, as the page says it."""
    said = []
    for name, places in (
        ("Row", [t // grid.cols + 1 for t in tokens]),
        ("column", [t % grid.cols + 1 for t in tokens]),
    ):
        low, high = min(places), max(places)
        said.append(f"{name} {low}" if low == high else f"{name}s {low} to {high}")
    return f"{said[0]}, {said[1]}."


def test_a_finger_points_at_a_word(browser: Browser, fake: Served) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(fake.url)
    ready(page)
    ask(page)
    attributed(page)
    before = pixels(page)
    word(page, 1).tap()
    assert lit(page) == [1] and changed_tokens(page, before, fake.session.grids[0])
    expect(line(page)).to_contain_text("needs 2 tokens")
    word(page, 3).tap()
    assert lit(page) == [3]
    page.locator(".card.full header").tap()
    page.wait_for_function("window.glimpse.store.get().word === null")
    assert lit(page) == [] and (pixels(page) == before).all()
    context.close()


def test_words_belong_to_the_tokens_that_they_were_found_for(worded: Page, fake: Served) -> None:
    """Turning the dial away hides them, turning it back shows them again, and nothing is run for it."""
    page, session = worded, fake.session
    asked = len(session.attributed)
    assert asked == 2
    dial(page).focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".card.kept .word")).to_have_count(0)
    expect(page.locator(".card.full .word")).not_to_have_count(0)
    page.get_by_role("button", name="The glimpse's own choice").click()
    expect(page.locator(".card.kept .word")).not_to_have_count(0)
    assert len(session.attributed) == asked
    banded(page)
    ask(page, "And now?")
    expect(page.locator(".word")).to_have_count(0)
    expect(page.locator(".legend")).not_to_contain_text("needed")
    expect(start(page)).to_be_visible()


def test_an_answer_along_the_dial_has_words_of_its_own(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    banded(page)
    page.get_by_role("group", name="The answer at other").get_by_role("button").first.click()
    expect(page.locator(".card.kept .text")).to_contain_text("I see little")
    attributed(page)
    budget = page.evaluate("window.glimpse.stage.selection.kept")
    found = page.evaluate("window.glimpse.store.get().words.kept")
    assert budget < 3 and list(found["mask"]) == page.evaluate("[...window.glimpse.stage.selection.mask]")
    expect(word(page, 2)).to_have_text("little")


def test_it_streams_and_stop_ends_it(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    banded(page)
    fake.model.pace, fake.model.rounds = 0.1, 10_000
    start(page).click()
    expect(line(page)).to_contain_text("tries so far")
    first = line(page).inner_text()
    expect(line(page)).not_to_have_text(first)
    expect(start(page)).to_be_hidden()
    page.locator("#glimpse-stop").click()
    expect(start(page)).to_be_visible()
    expect(page.locator("#glimpse-stop")).to_be_disabled()
    expect(page.locator(".word")).to_have_count(0)
    until(page, lambda: ended(fake))
    fake.model.pace, fake.model.rounds = 0.01, 3
    attributed(page)
    expect(page.locator(".card.kept .word")).not_to_have_count(0)


def test_a_new_question_ends_it(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    banded(page)
    fake.model.pace, fake.model.rounds = 0.05, 10_000
    start(page).click()
    expect(line(page)).to_contain_text("tries so far")
    fake.model.pace = 0.01
    ask(page, "And now?")
    assert page.evaluate(PHASE) == "none"
    banded(page)
    until(page, lambda: ended(fake))


def test_it_waits_for_the_band_and_for_its_turn(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    fake.model.pace, fake.model.words = 0.1, 30
    ask(page)
    expect(page.locator(".dial .band")).to_have_attribute("data-phase", "running")
    start(page).click()
    expect(line(page)).to_have_text("Waiting for the answers along the dial…")
    banded(page)
    page.wait_for_function(f"{PHASE} === 'done'")
    ask(page, "And now?")
    banded(page)
    with fake.flow.queue.ticket() as ticket:
        assert ticket.ahead(60) == 0
        start(page).click()
        until(page, lambda: len(fake.flow.queue) == 2)
        expect(line(page)).to_have_text("Leaving tokens out…")
        assert fake.session.attributed == []
    page.wait_for_function(f"{PHASE} === 'done'")


def test_a_problem_is_told(fake: Served, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit(fake)
    ask(page)
    banded(page)
    monkeypatch.setattr(FakeSession, "attribution_steps", None)
    start(page).click()
    expect(status(page)).to_contain_text("Something failed inside the page")
    expect(start(page)).to_be_visible()


def test_tokens_of_the_other_picture_light_up_there(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    fake.model.words = 4
    upload(
        page,
        paint(tmp_path / "a.png", (6 * PATCH, 4 * PATCH), 0, 0),
        paint(tmp_path / "b.png", (5 * PATCH, 3 * PATCH), 2, 1),
    )
    shown(page)
    ask(page, "Where?")
    attributed(page)
    away(page)
    grids = fake.session.grids
    found = needs(fake.session, fake.session.masks[0], page.locator(".card.kept .text").inner_text())
    number, tokens = next(
        (n, t) for n, (_, t) in enumerate(found) if len({token < grids[0].tokens for token in t}) == 2
    )
    for index, offset in ((0, 0), (1, grids[0].tokens)):
        page.get_by_role("group", name="Pictures of this question").get_by_role("button").nth(index).click()
        away(page)
        before = pixels(page)
        word(page, number).hover()
        own = [token - offset for token in tokens if 0 <= token - offset < grids[index].tokens]
        assert changed_tokens(page, before, grids[index]) == own and len(own) == 1


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_jumps(fake: Served, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(fake.url)
    ready(page)
    ask(page)
    banded(page)
    page.evaluate("document.fonts.ready")
    page.evaluate(WATCH, [*BLOCKS, ".card.kept .text", ".card.full .text", ".under"])
    attributed(page)
    for number in range(4):
        word(page, number).focus()
        word(page, number, "full").focus()
    canvas(page).focus()
    page.keyboard.press("ArrowRight")
    away(page)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    seen = page.evaluate("window.seen")
    assert {name: places for name, places in seen.items() if len(places) != 1} == {}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_axe_finds_nothing_serious_in_words(worded: Page) -> None:
    for look in in_every_look(worded):
        word(worded, 0).focus()
        assert serious(worded) == [], look
    worded.set_viewport_size(DESKTOP)
