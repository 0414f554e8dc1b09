"""The deletion test: what is left out, what counts as changed, its figures, and its command."""

import json

import pytest
import torch

from glimpse_core.__main__ import main
from glimpse_core.backbones.processors.base import Processor
from glimpse_core.evaluation import deletion
from glimpse_core.evaluation.report.deletion import markdown, result, spent, summary
from glimpse_core.evaluation.store import read_lines
from glimpse_core.inference.attribution import without
from glimpse_core.inference.session import Session
from glimpse_core.types import Sampling

pytestmark = pytest.mark.usefixtures("small_scenes")
SEED = 10_000_000
FIVE = Sampling(max_new_tokens=5)


@pytest.fixture(autouse=True)
def every_token_is_a_word(monkeypatch):
    """The random model writes bytes, which are seldom words."""
    monkeypatch.setattr(Processor, "decode", lambda self, tokens: " ".join(map(str, tokens)))


@pytest.fixture(scope="module")
def loaded(folder):
    return deletion.plan(str(folder), 2, SEED, max_new_tokens=5).load()


def test_a_word_changes_as_a_fresh_answer_says(loaded):
    """Every word's tokens are left out again by hand: the answer is decoded anew, word by word."""
    changed = set()
    for index in range(2):
        entry, item = deletion.ask(loaded, index), loaded.task.item(index)
        session = Session.ask(loaded.model, [item.image()], item.question)
        masks = {"pruned": session.select().mask, "full": torch.ones(session.tokens, dtype=torch.bool)}
        for name, mask in masks.items():
            side, answer = entry["sides"][name], session.answer(mask, FIVE).complete()
            found = session.attribute(answer, mask)
            assert (side["answer"], side["kept"], side["words"]) == (answer.text, int(mask.sum()), len(found.words))
            depending = [number for number, depends in enumerate(found.depends) if depends]
            assert [word["word"] for word in side["depending"]] == [found.words[number].text for number in depending]
            for number, word in zip(depending, side["depending"], strict=True):
                needed = found.needed[number]
                assert word["needs"] == len(needed) and len(word["scored"]) == 1 + deletion.DRAWS
                left = without(mask, needed)
                new = session.answer(left, FIVE).complete().text.split()
                assert word["decoded"][0] == (new[number : number + 1] != [found.words[number].text])
                (same,) = session.score(answer.tokens, [left]).unchanged(found.words)
                assert word["scored"][0] == (not same[number]) == bool(needed)
                changed |= {tuple(word["decoded"]), tuple(word["scored"][1:])}
    assert len(changed) > 2, "words that all fare the same prove nothing"


def test_random_tokens_are_as_many_of_the_kept_ones():
    kept = torch.zeros(40, dtype=torch.bool)
    kept[5:25] = True
    drawn = deletion._drawn(kept, 6, 3)
    assert len(drawn) == deletion.DRAWS and len({tuple(mask.tolist()) for mask in drawn}) == deletion.DRAWS
    for mask in drawn:
        assert int((kept & ~mask).sum()) == 6 and not (mask & ~kept).any()
    assert all((one == other).all() for one, other in zip(drawn, deletion._drawn(kept, 6, 3), strict=True))
    assert not all((one == other).all() for one, other in zip(drawn, deletion._drawn(kept, 6, 4), strict=True))


def word(needs, scored, decoded):
    return {"word": "x", "needs": needs, "scored": scored, "decoded": decoded}


def test_the_figures_of_planted_answers():
    words = [
        word(1, [True, False, False, False], [True, False]),
        word(5, [True, True, False, False], [True, True]),
        word(0, [False] * 4, [False, False]),  # nothing was found that it needs
        word(3, [True, True, True, False], [False, False]),
    ]
    sides = [
        {"kept": 10, "words": 6, "runs": 40, "depending": words[:3]},
        {"kept": 20, "words": 3, "runs": 60, "depending": words[3:]},
        {"kept": 30, "words": 0, "runs": 0, "depending": []},
    ]
    found = summary(sides)
    assert (found["words"], found["depending"], found["found"]) == (9, 4, 3)
    assert found["all_kept"] == 0 and summary([{**sides[1], "kept": 3}])["all_kept"] == 1
    assert found["scored"] == {"attributed": 0.75, "random": 3 / 12}
    assert found["decoded"] == {"attributed": 0.5, "random": 0.25}
    assert found["needs"] == {"q25": 2, "median": 3, "q75": 4} and found["kept"] == 20
    assert found["runs"] == pytest.approx(100 / 3)
    times = spent([0.5, 3.0, 1.5, 1.0])
    assert times == {"seconds": {"median": 1.25, "q90": pytest.approx(2.55), "most": 3.0}, "in_time": 0.75}
    assert summary(sides[2:])["scored"] == {"attributed": None, "random": None}


def run(folder, path, *more):
    options = ["--seed", str(SEED), "--count", "2", "--workers", "1", "--max-new-tokens", "5"]
    return main(["evaluate", "--model", str(folder), *options, "--deletion", str(path), *more])


def without_time(found):
    times = dict.fromkeys(("seconds", "in_time"))
    return {**found, "sides": {name: {**side, **times} for name, side in found["sides"].items()}}


def test_the_command_writes_figures_table_and_questions(folder, loaded, tmp_path, capsys):
    assert run(folder, tmp_path / "a.json") == 0
    found, (header, entries) = json.loads((tmp_path / "a.json").read_text()), read_lines(tmp_path / "a.jsonl")
    assert entries == [deletion.ask(loaded, index) for index in range(2)]
    timing = {"questions": 2, "seconds": {name: [] for name in deletion.SIDES}}
    assert without_time(found) == without_time(json.loads(json.dumps(result(loaded, entries, timing))))
    assert found["timed"] == 2 and all(side["seconds"]["most"] > 0 for side in found["sides"].values())
    assert header == json.loads(json.dumps(loaded.header()))
    assert found["held_out"] is True and found["count"] == 2 and list(found["sides"]) == ["pruned", "full"]
    table = (tmp_path / "a.md").read_text()
    assert table == markdown(found) and table in capsys.readouterr().out and "| full |" in table
    lines = (tmp_path / "a.jsonl").read_text().split("\n")
    (tmp_path / "b.jsonl").write_text("\n".join(lines[:2]) + "\n")
    assert run(folder, tmp_path / "b.json", "--resume") == 0
    assert (tmp_path / "b.jsonl").read_text() == (tmp_path / "a.jsonl").read_text()


@pytest.mark.parametrize("other", [["--json", "x.json"], ["--sweep", "x"], ["--budgets", "5%"], ["--out", "x"]])
def test_it_goes_with_no_other_result(folder, other, tmp_path, capsys):
    assert run(folder, tmp_path / "a.json", *other) == 2
    assert "--deletion" in capsys.readouterr().err and not list(tmp_path.iterdir())
