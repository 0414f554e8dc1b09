"""Evaluation on a tiny random model: variants equal sessions, runs are repeatable and resumable, the JSON complete."""

import json
import subprocess
import sys

import pytest
import torch

from glimpse_core import world
from glimpse_core.__main__ import main
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import run as running
from glimpse_core.evaluation.scores import VARIANTS
from glimpse_core.models import catalog, checkpoint
from glimpse_core.types import GlimpseConfig
from tests.support.tiny_folder import write_base

SMALL = {"vip_size": 16, "vip_condition_size": 16, "vip_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base with glimpse modules in its subfolder, and others for another K beside it."""
    base = write_base(tmp_path_factory.mktemp("base"))
    for layer, place in ((1, "glimpse"), (2, "deeper")):
        config = GlimpseConfig(layer, (layer,), (0, 1, 2, 3), (1,), **SMALL)
        torch.manual_seed(layer)
        model = catalog.load(str(base), glimpse=config, device="cpu")
        for parameter in [*model.glimpse.parameters(), *model.vip.parameters()]:
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
        checkpoint.save(base / place, config, model.glimpse, model.vip)
    return base


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """The same questions on small scenes, so that a tiny model takes milliseconds."""
    questions = world.questions(world.scene(7, size=(336, 336)))
    chosen = [next(q for q in questions if q.type == kind) for kind in ("color", "count", "scene")]
    chosen.append(next(q for q in questions if q.type == "exist" and not q.boxes))
    item = lambda seed, index, count: (world.scene(seed + index, size=(168, 196)), chosen[index % 4])  # noqa: E731
    monkeypatch.setattr(world, "held_out_item", item)


def evaluate(folder, path, *more):
    options = ["--seed", "10000005", "--count", "5", "--workers", "1", "--max-new-tokens", "4"]
    return main(["evaluate", "--model", str(folder), *options, "--json", str(path), *more])


def test_the_command_writes_a_complete_and_repeatable_result(folder, tmp_path, capsys):
    assert evaluate(folder, tmp_path / "a.json") == 0
    assert evaluate(folder, tmp_path / "b.json") == 0
    assert "all" in capsys.readouterr().out
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert set(first["accuracy"]) == set(VARIANTS)
    assert set(first["kept_share"]) == {"mean", "q25", "median", "q75"}
    assert {"count", "full", "pruned", "kept_share"} <= set(first["one_object"])
    assert {"count", "full", "pruned", "kept_share", "evidence_share"} <= set(first["by_type"]["count"])
    assert {"evidence_recall", "rank_correlation", "versions", "settings"} <= set(first)
    assert first["held_out"] is True
    table = (tmp_path / "a.md").read_text()
    assert "held out" in table and "| **one object** | 2 |" in table and "| **all** | 5 |" in table
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


def test_no_evidence_means_nothing_is_dropped_and_the_oracle_sees_nothing(folder):
    model = catalog.load(str(folder), device="cpu")
    outcome = running.answer(model, running.Run(str(folder), 10_000_000, 4, max_new_tokens=4), 3)
    assert outcome.evidence == outcome.evidence_kept == 0
    assert outcome.answers["evidence_dropped"] == outcome.answers["full"]


def test_an_interrupted_run_goes_on_where_it_stopped(folder, tmp_path, monkeypatch):
    run = running.Run(str(folder), 10_000_000, 5, max_new_tokens=3)
    model = run.load()
    whole = running.outcomes(run, model, tmp_path / "whole.jsonl", tell=lambda line: None)
    text = (tmp_path / "whole.jsonl").read_text()
    cut = tmp_path / "cut.jsonl"
    cut.write_text("\n".join(text.split("\n")[:3]) + '\n{"index": 2, "se')
    answered = []
    real = running.answer
    monkeypatch.setattr(running, "answer", lambda model, run, index: answered.append(index) or real(model, run, index))
    assert running.outcomes(run, model, cut, resume=True, tell=lambda line: None) == whole
    assert answered == [2, 3, 4]
    assert cut.read_text() == text
    other = running.Run(str(folder), 10_000_001, 5, max_new_tokens=3)
    with pytest.raises(GlimpseError, match="other settings"):
        running.outcomes(other, model, cut, resume=True)


def test_a_sweep_is_a_table_and_a_plot(folder, tmp_path, capsys):
    both = ["--glimpse", str(folder / "deeper"), str(folder / "glimpse")]
    options = ["--seed", "9000000", "--count", "4", "--workers", "1", "--max-new-tokens", "2"]
    assert main(["evaluate", "--model", str(folder), *both, *options, "--sweep", str(tmp_path)]) == 0
    table = (tmp_path / "sweep.md").read_text()
    assert "for tuning, not held out" in table
    assert [line.split("|")[1].strip() for line in table.splitlines()[4:]] == ["1", "2"]
    assert all((tmp_path / f"sweep.{kind}").stat().st_size > 500 for kind in ("png", "svg", "json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing says where the result goes"),
        (["--json", "x.json", "--count", "0"], "wanted was at least 1"),
        (["--json", "x.json", "--seed", "-1"], "wanted was 0 or more"),
        (["--json", "x.json", "--glimpse", "a", "b"], "add --sweep"),
        (["--sweep", "x", "--glimpse", "a/k", "b/k"], "do not differ in name"),
    ],
)
def test_impossible_requests_are_explained(folder, options, message, capsys):
    assert main(["evaluate", "--model", str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_model_without_a_glimpse_cannot_be_evaluated(tmp_path, capsys):
    base = write_base(tmp_path / "plain")
    assert main(["evaluate", "--model", str(base), "--json", str(tmp_path / "x.json")]) == 2
    assert "no glimpse modules" in capsys.readouterr().err


WORKERS = """
import operator
from tqdm import tqdm  # makes a lock between processes, which its maker has to put away
from glimpse_core.evaluation.work import each
print(list(each(operator.is_, range(4), tqdm.get_lock, None, 4)))
"""


def test_worker_processes_end_without_a_warning():
    done = subprocess.run([sys.executable, "-c", WORKERS], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("[False, False, False, False]\n", "", 0)
