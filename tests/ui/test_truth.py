"""Every count of the demo world is explained, and nothing else is; the browser says the same."""

from __future__ import annotations

import re
from pathlib import Path

from glimpse_core.ui import truth
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.truth import truth_note
from glimpse_core.world import questions, scene

SCRIPT = Path(truth.__file__).with_name("web") / "state" / "truth.js"


def test_counts_and_only_counts_are_explained() -> None:
    asked = [question for seed in range(20_000_000, 20_000_012) for question in questions(scene(seed))]
    kinds = {question.type for question in asked}
    assert {"count", "scene", "half", "exist"} <= kinds
    for question in asked:
        note = truth_note(question.answer)
        assert bool(note) is (question.type == "count"), question
        if note:
            assert note.startswith(f"That is {question.answer[:-1].rsplit(' ', 1)[1]}: this model counts aloud")
    assert truth_note(None) == truth_note("") == ""


def test_the_examples_that_puzzled_are_among_them() -> None:
    pairs = [pair for example in load_examples() for pair in example.questions]
    counts = [answer for question, answer in pairs if question.startswith(("Count", "How many"))]
    assert "I see red: 1." in counts and all(map(truth_note, counts))


def test_the_browser_says_the_same() -> None:
    script = re.sub(r"\$\{found\[1\]\}", "7", SCRIPT.read_text(encoding="utf-8"))
    assert f"`{truth_note('I see red, blue: 7.')}`" in script
