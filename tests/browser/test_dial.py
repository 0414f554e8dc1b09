"""The dial keeps tokens by rank as the engine does; the band under it shows the answers along it, with no model run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from glimpse_core.inference.band import budgets_of
from glimpse_core.inference.choice import choose
from glimpse_core.types import Settings
from glimpse_core.ui import compare
from glimpse_core.ui.results import load_results
from tests.browser.conftest import PATIENCE, Served, Visit, ask, browser_mask, finished, serve, status, until
from tests.browser.conftest import choose as choose_example
from tests.browser.fake import FakeBand, FakeModel, FakeSession

TOTAL = 560  # tokens of the first example
TRUTH = "The star is green and says M4FE."  # of its first question
OTHER = "Which one?"  # a question whose true answer is not known


def dial(page: Page) -> Locator:
    return page.get_by_role("slider", name="Number of visual tokens kept")


def band(page: Page) -> Locator:
    return page.locator(".dial .band")


def segments(page: Page) -> Locator:
    return band(page).get_by_role("button")


def banded(page: Page) -> None:
    """Wait until the band is complete."""
    expect(band(page)).to_have_attribute("data-phase", "done")


def own(page: Page) -> Locator:
    return page.get_by_role("button", name="The glimpse's own choice")


def kept(page: Page) -> int:
    return page.evaluate("window.glimpse.stage.selection.kept")


def budget(page: Page) -> int | None:
    return page.evaluate("window.glimpse.stage.settings.budget")


def by_rank(session: FakeSession, count: int | None) -> list[int]:
    """The engine's tokens at a budget; None: the glimpse's own choice."""
    return choose(session.logits, session.grids, Settings(budget=count)).mask.int().tolist()


def own_choice(session: FakeSession) -> int:
    return sum(by_rank(session, None))


@pytest.fixture
def asked(fake: Served, visit: Visit) -> Page:
    """The page with both answers and the band of the first example."""
    page = visit(fake)
    ask(page)
    banded(page)
    return page


# The dial --------------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_turn_before_a_question(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    expect(dial(page)).to_be_disabled()
    expect(segments(page)).to_have_count(0)
    expect(own(page)).to_be_hidden()


def test_dragging_keeps_the_most_relevant_tokens_and_asks_when_let_go(asked: Page, fake: Served) -> None:
    session, box = fake.session, dial(asked).bounding_box()
    assert box is not None
    middle, seen = box["y"] + box["height"] / 2, []
    before = own_choice(session)
    start = box["x"] + box["width"] * int(dial(asked).input_value()) / 1000
    asked.mouse.move(start, middle)
    asked.mouse.down()
    for place in (0.0, 0.21, 0.38, 0.5, 0.66, 0.74, 0.87, 1.0, 0.83):
        asked.mouse.move(box["x"] + place * box["width"], middle)
        seen.append(kept(asked))
        assert budget(asked) in (seen[-1], None)
        assert browser_mask(asked) == by_rank(session, budget(asked))
        expect(dial(asked)).to_have_attribute("aria-valuetext", f"{seen[-1]} of 560 tokens")
    assert seen[0] == 1 and seen[-2] == TOTAL
    assert seen[:-1] == sorted(set(seen[:-1])), "further right are more"
    chosen = seen[-1]
    assert chosen not in budgets_of(TOTAL)
    expect(asked.locator(".verdict")).to_have_text(f"Made from {before} tokens; {chosen} are chosen now.")
    assert session.counters["answers"] == 2, "nothing runs while it is dragged"
    asked.mouse.up()
    expect(asked.locator(".card.kept .hint")).to_have_text(f"{chosen}: the {chosen} most relevant")
    finished(asked)
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 3, "answers": 3}
    assert session.masks[-1] == by_rank(session, chosen) == browser_mask(asked)
    expect(asked.locator("#glimpse-again")).not_to_have_attribute("data-wanted", "")


KEYS = [
    *(("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 2), ("ArrowUp", 3), ("PageUp", 5), ("PageUp", 8), ("PageUp", 12)),
    *(("PageDown", 8), ("ArrowDown", 7), ("ArrowLeft", 6), ("PageDown", 4), ("End", TOTAL), ("ArrowRight", TOTAL)),
    *(("PageDown", 373), ("PageUp", TOTAL), ("PageUp", TOTAL), ("ArrowDown", TOTAL - 1)),
]


def test_keys_move_it_by_tokens(asked: Page, fake: Served) -> None:
    """Held down, as a person does who goes far: asked is when the last key is let go."""
    session = fake.session
    dial(asked).focus()
    for key, count in KEYS:
        asked.keyboard.down(key)
        assert kept(asked) == count, key
        assert browser_mask(asked) == by_rank(session, count)
    assert session.counters["answers"] == 2
    for key in dict(KEYS):
        asked.keyboard.up(key)
    expect(asked.locator(".card.kept .hint")).to_have_text("559: the 559 most relevant")
    finished(asked)
    assert session.masks[-1] == by_rank(session, TOTAL - 1)


def test_near_the_glimpses_own_choice_it_is_that(asked: Page, fake: Served) -> None:
    session = fake.session
    choice = own_choice(session)
    at = asked.evaluate("Number(document.querySelector('#glimpse-dial').value)")
    expect(own(asked)).to_have_attribute("aria-pressed", "true")
    for value, near in ((at + 11, True), (at + 40, False), (at - 11, True), (at - 40, False), (at, True)):
        dial(asked).fill(str(value))
        assert (budget(asked) is None) == near
        expect(own(asked)).to_have_attribute("aria-pressed", str(near).lower())
        assert (kept(asked) == choice) == near
        finished(asked)
    dial(asked).focus()
    for key, count in (("ArrowRight", choice + 1), ("ArrowLeft", None), ("ArrowLeft", choice - 1), ("ArrowUp", None)):
        asked.keyboard.down(key)
        assert budget(asked) == count, "its number of tokens is its choice, threshold and all"
        assert browser_mask(asked) == by_rank(session, count)


def test_its_mark_brings_the_glimpses_answer_back(asked: Page, fake: Served) -> None:
    choice = own_choice(fake.session)
    dial(asked).focus()
    asked.keyboard.press("Home")
    expect(asked.locator(".card.kept .text")).to_contain_text("I see little")
    own(asked).click()
    assert budget(asked) is None
    expect(asked.locator(".card.kept .text")).to_contain_text("I see everything")
    expect(asked.locator(".card.kept .hint")).to_have_text(f"{choice}: relevance above 0.5")
    assert fake.session.counters["answers"] == 2, "the answer was there"
    dial(asked).fill("500")  # this one was not
    finished(asked)
    own(asked).click()
    expect(asked.locator(".card.kept .hint")).to_have_text(f"{choice}: relevance above 0.5")
    finished(asked)
    assert fake.session.counters["answers"] == 4
    assert fake.session.masks[-1] == by_rank(fake.session, None)


def test_the_dial_turns_over_edits_and_ends_a_comparison(asked: Page, fake: Served) -> None:
    """Edits stay over the rule, whatever it is; the band has none of them, so that letting go asks."""
    session = fake.session
    asked.get_by_role("button", name="Random instead").click()
    expect(asked.locator(".card.kept h3")).to_have_text("Random tokens")
    finished(asked)
    asked.evaluate("window.glimpse.store.dispatch({ type: 'stroke', tokens: [5, 6], on: true })")
    dial(asked).focus()
    asked.keyboard.press("Home")
    expect(asked.locator(".card.kept h3")).to_have_text("Kept tokens")
    finished(asked)
    expected = session.select(paint={5: True, 6: True}).mask
    alone = choose(session.logits, session.grids, Settings(budget=1)).mask
    alone[[5, 6]] = True
    assert expected is not None and session.masks[-1] == alone.int().tolist() == browser_mask(asked)
    assert session.counters["answers"] == 4


# The band --------------------------------------------------------------------------------------------------------


def test_letting_go_where_the_band_has_the_answer_runs_nothing(asked: Page, fake: Served) -> None:
    before = dict(fake.session.counters)
    dial(asked).focus()
    for key, count, word in (("Home", 1, "little"), ("End", TOTAL, "everything"), ("Home", 1, "little")):
        asked.keyboard.press(key)
        expect(asked.locator(".card.kept .text")).to_contain_text(f"I see {word} in word0")
        expect(asked.locator(".card.kept .hint")).to_have_text(f"{count}: the {count} most relevant")
        expect(asked.locator(".facts tbody tr").first.locator("td").nth(1)).to_have_text(str(count))
        finished(asked)
    assert fake.session.counters == before


def test_a_segment_goes_there_and_shows_its_answer_without_a_run(asked: Page, fake: Served) -> None:
    """Twelve budgets; neighbors that say the same are one segment, which begins at its smallest budget."""
    budgets = budgets_of(TOTAL)
    expect(segments(asked)).to_have_count(2)
    first, second = segments(asked).all()
    expect(first).to_have_accessible_name(f"1 to 2 tokens (wrong): {fake.model.bands[0].answers[0].text}")
    expect(second).to_have_accessible_name(f"3 to 560 tokens (wrong): {fake.model.bands[0].answers[-1].text}")
    assert budgets[:3] == (1, 2, 3)
    before = dict(fake.session.counters)
    for segment, count, word in ((second, 3, "everything"), (first, 1, "little")):
        segment.click()
        assert budget(asked) == kept(asked) == count
        assert browser_mask(asked) == by_rank(fake.session, count)
        expect(asked.locator(".card.kept .text")).to_contain_text(f"I see {word}")
        finished(asked)
        expect(asked.locator(".dial .here strong")).to_have_text(f"{count} token{'s' * (count > 1)}: ")
    assert fake.session.counters == before
    assert len(fake.model.bands) == 1


LONG = [(3, "none of it"), (30, "half of it"), (200, TRUTH), (400, "half of it"), (TOTAL, TRUTH)]


def test_segments_lie_where_their_budgets_are(fake: Served, visit: Visit) -> None:
    """On a scale of equal factors, as the dial's; each is seen, and none lies over another."""
    fake.model.say = lambda kept, total: next(text for most, text in LONG if kept <= most)
    page = visit(fake)
    ask(page)
    banded(page)
    expect(segments(page)).to_have_count(len(LONG))
    boxes = [box for box in (segment.bounding_box() for segment in segments(page).all()) if box]
    track = dial(page).bounding_box()
    assert track is not None and len(boxes) == len(LONG)
    assert all(box["width"] >= 3 for box in boxes)
    assert all(one["x"] + one["width"] <= other["x"] + 1 for one, other in zip(boxes, boxes[1:], strict=False))
    assert track["x"] - 4 <= boxes[0]["x"] and boxes[-1]["x"] + boxes[-1]["width"] <= track["x"] + track["width"] + 4
    for segment in segments(page).all():  # the dial's thumb stands over the segment's beginning
        segment.click()
        value = page.evaluate("Number(document.querySelector('#glimpse-dial').value)")
        left = float((segment.get_attribute("style") or "").split("left: ")[1].split("%")[0])
        assert abs(value / 10 - left) < 0.1


@pytest.mark.parametrize(
    ("question", "tones", "meaning"),
    [
        (None, ["wrong", "right", "wrong", "right"], "rightwrong"),
        (OTHER, ["different", "same", "different", "same"], "samedifferent"),
    ],
)
def test_tones_say_right_where_the_truth_is_known_and_same_where_not(
    fake: Served, visit: Visit, question: str | None, tones: list[str], meaning: str
) -> None:
    says = [(10, "The star is blue."), (50, TRUTH), (200, "The star is gone."), (TOTAL, TRUTH)]
    fake.model.say = lambda kept, total: next(text for most, text in says if kept <= most)
    page = visit(fake)
    ask(page, question)
    banded(page)
    expect(segments(page)).to_have_count(4)
    assert [segment.get_attribute("data-tone") for segment in segments(page).all()] == tones
    colors = segments(page).evaluate_all("(all) => all.map((one) => getComputedStyle(one).backgroundColor)")
    assert colors[0] == colors[2] != colors[1] == colors[3]
    assert sorted(page.locator(".dial .meaning").inner_text().split()) == sorted(set(tones))


class Stepwise:
    """The band of the stand-in goes on only where the test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._steps, step = threading.Semaphore(0), FakeBand.__next__

        def stepwise(band: FakeBand) -> Any:
            self._steps.acquire(timeout=PATIENCE / 1000)
            return step(band)

        monkeypatch.setattr(FakeBand, "__next__", stepwise)

    def go(self, steps: int = 1000) -> None:
        self._steps.release(steps)


@pytest.fixture
def stepwise(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stepwise]:
    made = Stepwise(monkeypatch)
    yield made
    made.go()


def begun(page: Page, stepwise: Stepwise) -> None:
    """Wait until the first words of every answer of the band are shown."""
    stepwise.go(1)
    expect(segments(page).first).to_have_attribute("data-tone", "running")
    expect(segments(page).first).to_have_accessible_name("1 to 2 tokens (answering): I see little in")


def test_the_band_streams(fake: Served, visit: Visit, stepwise: Stepwise) -> None:
    page = visit(fake)
    ask(page)
    expect(band(page)).to_have_attribute("data-phase", "running")
    expect(page.locator("#glimpse-stop")).to_be_enabled()
    begun(page, stepwise)
    dial(page).focus()
    page.keyboard.down("Home")
    expect(page.locator(".dial .here")).to_contain_text("Answering at twelve numbers of tokens…")
    page.keyboard.down("End")
    expect(page.locator(".dial .here strong")).to_have_text(f"{own_choice(fake.session)} tokens: ")
    own(page).click()
    stepwise.go()
    banded(page)
    assert [segment.get_attribute("data-tone") for segment in segments(page).all()] == ["wrong", "wrong"]
    expect(page.locator("#glimpse-stop")).to_be_disabled()
    assert len(fake.model.bands) == 1 and fake.session.counters["answers"] == 2


def test_what_the_band_has_not_yet_is_asked_for(fake: Served, visit: Visit, stepwise: Stepwise) -> None:
    """An answer of the band that still runs is none to show; asking ends the band, and after it comes another."""
    page = visit(fake)
    ask(page)
    begun(page, stepwise)
    dial(page).focus()
    page.keyboard.press("Home")
    first = fake.model.bands[0]
    until(page, lambda: first._cancel.is_set())
    stepwise.go()
    expect(page.locator(".card.kept .hint")).to_have_text("1: the 1 most relevant")
    finished(page)
    assert fake.session.masks[-1] == by_rank(fake.session, 1)
    banded(page)
    assert {answer.finished for answer in first.answers} == {"cancelled"} and len(fake.model.bands) == 2


def test_stop_ends_the_band_and_it_can_be_asked_for_again(fake: Served, visit: Visit, stepwise: Stepwise) -> None:
    page = visit(fake)
    ask(page)
    begun(page, stepwise)
    visitor = list(fake.flow.visitors._visitors.values())[-1]
    page.locator("#glimpse-stop").click()
    expect(band(page)).to_have_attribute("data-phase", "stopped")
    expect(page.locator("#glimpse-stop")).to_be_disabled()
    until(page, visitor.cancel.is_set)  # the server is told, and does not wait for its next word
    stepwise.go()
    (first,) = fake.model.bands
    until(page, lambda: all(answer.finished == "cancelled" for answer in first.answers))
    assert {len(answer.tokens) for answer in first.answers} == {1}, "it ended before its next token"
    expect(page.locator(".verdict[data-same]")).to_be_visible()  # both answers stand
    expect(status(page)).to_have_text("")
    until(page, lambda: len(fake.flow.queue) == 0)
    page.get_by_role("button", name="Show where the answer breaks").click()
    banded(page)
    expect(page.get_by_role("button", name="Show where the answer breaks")).to_be_hidden()
    expect(segments(page)).to_have_count(2)
    assert len(fake.model.bands) == 2 and fake.session.counters["answers"] == 2


def test_a_new_question_ends_the_band(fake: Served, visit: Visit, stepwise: Stepwise) -> None:
    page = visit(fake)
    ask(page)
    begun(page, stepwise)
    (first,) = fake.model.bands
    fake.model.say = lambda kept, total: "Another answer."
    ask(page, OTHER, wait=False)
    until(page, lambda: first._cancel.is_set())
    expect(segments(page)).to_have_count(0)
    stepwise.go(1)  # for its last step, which ends it
    finished(page)
    assert {answer.finished for answer in first.answers} == {"cancelled"}
    expect(band(page)).to_have_attribute("data-phase", "running")
    expect(segments(page)).to_have_count(1)  # the answer itself; those of the question before are gone
    expect(segments(page)).to_have_accessible_name(f"{kept(page)} tokens (as with all tokens): Another answer.")
    stepwise.go()
    banded(page)
    second = fake.model.bands[-1]
    expect(segments(page)).to_have_accessible_name("1 to 560 tokens (as with all tokens): Another answer.")
    assert [answer.text for answer in second.answers] == ["Another answer."] * 12


def test_other_pictures_end_the_band(fake: Served, visit: Visit, stepwise: Stepwise) -> None:
    page = visit(fake)
    ask(page)
    begun(page, stepwise)
    (first,) = fake.model.bands
    choose_example(page, fake, 2)
    expect(segments(page)).to_have_count(0)
    expect(band(page)).to_have_attribute("data-phase", "none")
    until(page, lambda: first._cancel.is_set())
    stepwise.go()
    until(page, lambda: all(answer.finished == "cancelled" for answer in first.answers))
    expect(segments(page)).to_have_count(0)


def test_the_band_of_an_example_is_stored(visit: Visit) -> None:
    """With the page, at once: every segment shows its answer, and no model runs."""
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask) as served:
        result = load_results("demo")[served.flow.gallery.examples[0].path.name]
        assert result.band is not None and len(result.band["answers"]) == len(budgets_of(TOTAL))
        page = visit(served)
        banded(page)
        texts = {answer["budget"]: answer["text"] for answer in result.band["answers"]}
        rights = {answer["budget"]: answer["right"] for answer in result.band["answers"]}
        assert segments(page).count() >= len({*texts.values()}) > 1
        choice = kept(page)  # the glimpse's own, whose answer lies among those of the band
        texts[choice] = "".join(piece for piece, _ in result.answers["kept"]["pieces"])
        rights[choice] = result.answers["kept"]["right"]
        seen = set()
        for segment in segments(page).all():
            segment.click()
            finished(page)
            expect(page.locator(".card.kept .text")).to_have_text(texts[kept(page)])
            assert segment.get_attribute("data-tone") == ("right" if rights[kept(page)] else "wrong")
            assert compare.right(texts[kept(page)], result.answers["truth"]) == rights[kept(page)]
            seen.add(texts[kept(page)])
        assert seen == {*texts.values()}
        assert model.sessions == [] and model.bands == []


# The verdict -----------------------------------------------------------------------------------------------------

VERDICTS = [
    (OTHER, "A hat.", "A hat.", "same", "Same answer from {kept} of 560 visual tokens."),
    (OTHER, "A cat.", "A hat.", "different", "A different answer from {kept} of 560 visual tokens."),
    (None, TRUTH, TRUTH, "right", "Same answer, and right, from {kept} of 560 visual tokens."),
    (None, "A cat.", TRUTH, "broke", "Pruning broke it: right with all 560 tokens, wrong with {kept}."),
    (None, TRUTH, "A hat.", "fixed", "Pruning fixed it: wrong with all 560 tokens, right with {kept}."),
    (None, "A cat.", "A hat.", "wrong", "Both wrong, with 560 visual tokens and with {kept}."),
    (None, "A hat.", "A hat.", "wrong", "Both wrong, with 560 visual tokens and with {kept}."),
]


@pytest.mark.parametrize(("question", "pruned", "full", "tone", "sentence"), VERDICTS)
def test_the_verdict_is_one_sentence(
    fake: Served, visit: Visit, question: str | None, pruned: str, full: str, tone: str, sentence: str
) -> None:
    """Of the answers as they came, and of the band's where the dial stands."""
    fake.model.say = lambda kept, total: full if kept == total else pruned
    page = visit(fake)
    ask(page, question)
    verdict = page.locator(".verdict")
    for count in (kept(page), 1):
        expect(verdict).to_have_text(sentence.format(kept=count))
        expect(verdict).to_have_attribute("data-tone", tone)
        expect(verdict).to_have_attribute("data-same", str(pruned == full).lower())
        banded(page)
        dial(page).focus()
        page.keyboard.press("Home")
    assert fake.session.counters["answers"] == 2
