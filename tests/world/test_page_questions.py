"""Questions about pages: answers follow from the cells, evidence is what is needed, nothing can be guessed."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from glimpse_core.world import HELD_OUT, PAGE_TYPES, TYPES, Cell, Page, Question, held_out_page, page, page_questions
from tests.world.page_oracle import Missing, Oracle, answer

Asked = tuple[Page, Question, list[Cell]]  # a page, one of its questions, and the cells that are its evidence


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    return list(_asked(range(160)))


def _asked(seeds: range) -> Iterator[Asked]:
    for seed in seeds:
        drawn = page(seed)
        by_box = {cell.box: cell for cell in drawn.cells}
        for question in page_questions(drawn):
            yield drawn, question, [by_box[box] for box in question.boxes]


def test_answers_follow_from_the_cells(asked: list[Asked]) -> None:
    for drawn, question, _ in asked:
        assert answer(drawn, question.type, question.text, drawn.cells) == question.answer, drawn.seed


def test_the_evidence_suffices(asked: list[Asked]) -> None:
    for drawn, question, evidence in asked:
        assert answer(drawn, question.type, question.text, evidence) == question.answer, drawn.seed
        assert evidence and question.things == len(evidence) == len(set(question.boxes))


def test_no_cell_of_the_evidence_can_be_spared(asked: list[Asked]) -> None:
    for drawn, question, evidence in asked:
        for index in range(len(evidence)):
            rest = evidence[:index] + evidence[index + 1 :]
            try:
                found = answer(drawn, question.type, question.text, rest)
            except Missing:
                continue
            assert found != question.answer, (drawn.seed, question.text, evidence[index].text)


def test_spans_are_read_from_their_first_box(asked: list[Asked]) -> None:
    for drawn, question, _ in asked:
        cells = {cell.box: cell for cell in drawn.cells}
        assert question.spans[0].boxes == question.spans[-1].boxes == () and question.answer.endswith(".")
        assert tuple(dict.fromkeys(box for span in question.spans for box in span.boxes)) == question.boxes
        for span in question.spans:
            if (
                span.boxes
                and not re.search(r"(none: 0|: \d+|: no)$", span.text)
                and question.type not in ("sum", "about")
            ):
                assert cells[span.boxes[0]].text in span.text, (drawn.seed, question.text, span)


def test_types_are_those_of_pages_and_every_one_is_common(asked: list[Asked]) -> None:
    assert not set(PAGE_TYPES) & set(TYPES)
    seeds: dict[str, set[int]] = defaultdict(set)
    for drawn, question, _ in asked:
        seeds[question.type].add(drawn.seed)
    assert tuple(kind for kind in PAGE_TYPES if kind in seeds) == PAGE_TYPES
    assert min(map(len, seeds.values())) >= 0.15 * 160, {kind: len(found) for kind, found in seeds.items()}
    per_page = Counter(drawn.seed for drawn, *_ in asked)
    assert min(per_page.values()) >= 15 and max(per_page.values()) <= 8 * len(PAGE_TYPES)
    assert max(Counter((drawn.seed, question.text) for drawn, question, _ in asked).values()) == 1


def _told(question: Question) -> str:
    """What an answer tells beside the words of its question: a count, a yes or no, the text that was read."""
    if question.type in ("tally", "listed"):
        return question.answer.rsplit(": ", 1)[1]
    return "".join(span.text for span in question.spans if span.boxes)


# The most that one answer may be worth to somebody who knows the type of a question and guesses.
BOUNDS = {"listed": 0.5, "tally": 0.33, "match": 0.08, "lookup": 0.08, "table": 0.08, "about": 0.05, "cross": 0.05}


def test_answers_cannot_be_guessed(asked: list[Asked]) -> None:
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question, _ in asked:
        told[question.type][_told(question)] += 1
    shares = {kind: found.most_common(1)[0][1] / sum(found.values()) for kind, found in told.items()}
    assert all(share <= BOUNDS.get(kind, 0.04) for kind, share in shares.items()), shares
    assert shares["listed"] == 0.5
    assert set(told["tally"]) >= {f"{count}." for count in range(7)}


def test_a_text_that_fills_a_column_is_no_safe_guess(asked: list[Asked]) -> None:
    """The status of most trains is the same; that of most trains asked for must not be."""
    said = Counter(
        question.answer
        for drawn, question, _ in asked
        if question.type == "lookup" and drawn.kind == "departures" and "status" in question.text
    )
    assert sum(said.values()) > 30 and said.most_common(1)[0][1] / sum(said.values()) < 0.4, said


def test_evidence_reaches_from_one_cell_to_most_of_the_page(asked: list[Asked]) -> None:
    counts = defaultdict(set)
    for _, question, evidence in asked:
        counts[question.type].add(len(evidence))
    assert 1 in counts["position"] & counts["listed"] & counts["about"] and counts["lookup"] == {2}
    assert counts["cross"] == {3} and counts["match"] <= {3, 4}
    parts = [len(evidence) / len(drawn.cells) for drawn, question, evidence in asked if question.type == "table"]
    assert max(parts) > 0.75


def test_each_condition_of_a_match_is_fulfilled_by_other_rows_too(asked: list[Asked]) -> None:
    counted = 0
    for drawn, question, _ in asked:
        if question.type == "match" and drawn.kind != "timetable":
            oracle = Oracle(drawn, drawn.cells)
            oracle.answer("match", question.text)
            assert min(oracle.fulfilled) > 1, (drawn.seed, question.text)
            counted += 1
    assert counted > 50


def test_absence_has_all_names_as_evidence(asked: list[Asked]) -> None:
    for drawn, question, evidence in asked:
        if question.type == "listed" and question.answer.endswith("no."):
            names = [cell for cell in drawn.cells if cell.column == drawn.content.naming and cell.kind != "head"]
            assert sorted(cell.row for cell in evidence) == list(range(drawn.rows)) == [cell.row for cell in names]


def test_absent_names_look_like_those_that_are_there(asked: list[Asked]) -> None:
    """Most names asked for in vain share a word or a half with one on the page, so a glance does not tell."""
    near = total = 0
    for drawn, question, evidence in asked:
        if question.type == "listed" and question.answer.endswith("no.") and drawn.kind != "form":
            name = question.answer.removeprefix("The page does not list ").removesuffix(": no.")
            total += 1
            near += any(cell.text[:4] == name[:4] or cell.text[-4:] == name[-4:] for cell in evidence)
    assert near / total > 0.93


def test_held_out_pages_start_at_ten_million_and_share_types_equally() -> None:
    with pytest.raises(ValueError, match="Expected 10000000 or more"):
        held_out_page(HELD_OUT - 1, 0, 24)
    items = [held_out_page(HELD_OUT + 555, index, 24) for index in range(24)]
    assert [question.type for _, question in items] == list(PAGE_TYPES) * 2
    assert all(drawn.seed >= HELD_OUT for drawn, _ in items) and len({drawn.seed for drawn, _ in items}) == 24
    assert held_out_page(HELD_OUT + 555, 5, 24)[1] == items[5][1]
