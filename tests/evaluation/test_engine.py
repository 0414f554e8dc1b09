"""Comparisons on a tiny random model: equal to one pruner at a time, resumable, in shards, by workers, stoppable."""

import json

import pytest
import torch

from glimpse_core.__main__ import main
from glimpse_core.cli import evaluate_methods
from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import engine, store
from glimpse_core.evaluation.cells import Cell, Maker, grid_of
from glimpse_core.evaluation.plan import Plan
from glimpse_core.evaluation.report.rows import summary
from glimpse_core.evaluation.store import unpacked
from glimpse_core.evaluation.timing import peak_bytes
from glimpse_core.inference.decoding import Answer, finish
from glimpse_core.inference.rows import lengths
from glimpse_core.types import Sampling, Selection
from tests.evaluation.test_tasks import picture, textvqa

METHODS = (
    "glimpse",
    "fastv",
    "divprune",
    "random",
    "grid",
    "random_at_k",
    "boxes",
    "text_only",
    "divprune:60%+glimpse",
)
CELLS = grid_of(METHODS, (0.3, "dynamic"))


pytestmark = pytest.mark.usefixtures("small_scenes")


def plan(folder, **changes):
    usual = {"model": str(folder), "task": "world", "cells": CELLS, "count": 4, "seed": 10_000_000, "max_new_tokens": 5}
    return Plan(**{**usual, **changes})


def test_further_draws_are_other_tokens(folder):
    cells = grid_of(["random", "random:draw2", "random:draw3"], [0.5])
    masks = [entry["mask"] for entry in engine.ask(plan(folder, cells=cells).load(), 0)["cells"].values()]
    assert len(set(masks)) == 4


def test_every_cell_equals_its_pruner_alone(folder):
    loaded = plan(folder).load()
    model = loaded.model
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    for index in (0, 3):
        entry = engine.ask(loaded, index)
        item = loaded.task.item(index)
        prompt = model.processor.prompt(model.backbone, [item.image()], item.question)
        length, visual = prompt.input_ids.shape[1], entry["visual"]
        glimpsed = entry["cells"]["glimpse@dynamic"]["kept"]
        for cell in CELLS:
            found = entry["cells"][cell.label]
            pruner = Maker(model, Selection()).pruner(cell, item, index, glimpsed)
            with torch.inference_mode():
                pruned = pruner(prompt)
                branch = finish(model.backbone, pruned.branch)
            answer = Answer(
                model.backbone, prompt, lambda b=branch: fork(b), model.processor.decode, Sampling(max_new_tokens=5)
            ).complete()  # fmt: skip
            assert found["answer"] == model.processor.decode(answer.tokens), cell
            assert (unpacked(found["mask"], visual) == pruned.kept[0].numpy()).all()
            # The shares again, from what the layers have read and what the caches hold.
            text = length - visual
            held = [size - text for size in lengths(branch)]
            glimpse = model.keep_depth if "glimpse" in cell.method else 0  # so many layers have read the glimpse token
            read = [size - text - (layer < glimpse) for layer, size in enumerate(branch.processed)]
            assert found["kv"] == pytest.approx(sum(held) / len(held) / visual, abs=1e-6)
            assert found["prefill"] == pytest.approx(sum(read) / len(read) / visual, abs=1e-6)
            layers = [flops.decoder_layer(shape.text, size, size * size) for size in branch.processed]
            full = len(layers) * flops.decoder_layer(shape.text, length, length * length)
            rest = pruner.selector_flops(shape, length, visual)
            assert found["flops"] == pytest.approx((sum(layers) + rest) / full, rel=0.03), cell
        counts = {label: found["kept"] for label, found in entry["cells"].items()}
        assert counts["none"] == visual and counts["text_only"] == 0
        assert counts["random@30%"] == counts["fastv@30%"] == round(0.3 * visual)
        assert counts["random@dynamic"] == counts["fastv@dynamic"] == glimpsed


def run(planned, folder, shard=(0, 1), **how):
    """Answer everything that is missing; returns what was told on the way."""
    told = []
    progress = lambda entry, done, total: told.append((entry["index"], done, total))  # noqa: E731
    lines = store.shard_file(folder, shard)
    for _ in engine.entries(planned.load(), lines, shard=shard, progress=progress, **how):
        pass
    return told


def test_killed_and_resumed_and_in_shards_all_give_the_same_bytes(folder, tmp_path):
    one = plan(folder, cells=grid_of(["glimpse", "random"], ["dynamic"]))
    assert run(one, tmp_path / "whole") == [(index, index + 1, 4) for index in range(4)]
    whole = (tmp_path / "whole" / "questions.jsonl").read_bytes()
    assert whole.count(b"\n") == 5

    cut = tmp_path / "cut" / "questions.jsonl"
    cut.parent.mkdir()
    cut.write_bytes(b"\n".join(whole.split(b"\n")[:3]) + b'\n{"index": 2, "ke')
    assert run(one, cut.parent, resume=True) == [(2, 3, 4), (3, 4, 4)]
    assert cut.read_bytes() == whole

    stopped = engine.entries(one.load(), tmp_path / "stopped" / "questions.jsonl")
    assert next(stopped)["index"] == 0
    stopped.close()  # as the page's Stop does
    run(one, tmp_path / "stopped", resume=True)
    assert (tmp_path / "stopped" / "questions.jsonl").read_bytes() == whole

    run(one, tmp_path / "shards", shard=(1, 2))
    assert store.merge(tmp_path / "shards") is None
    run(one, tmp_path / "shards", shard=(0, 2))
    assert store.merge(tmp_path / "shards").read_bytes() == whole

    other = plan(folder, cells=one.cells, seed=10_000_001)
    with pytest.raises(GlimpseError, match="other settings"):
        run(other, tmp_path / "whole", resume=True)
    run(other, tmp_path / "shards2", shard=(1, 2))
    (tmp_path / "shards2" / "questions.0-of-2.jsonl").write_bytes(
        (tmp_path / "shards/questions.0-of-2.jsonl").read_bytes()
    )
    with pytest.raises(GlimpseError, match="different runs"):
        store.read(tmp_path / "shards2")


def test_worker_processes_write_the_same_bytes(folder, tmp_path):
    """They load model and task by themselves, so the questions are those of a file."""
    picture(tmp_path / "a.png", size=(168, 140))
    line = {"image": "a.png", "answer": "x", "bboxs": [[0, 0, 80, 70]]}
    asked = [json.dumps(line | {"question": text}) for text in ("What?", "Where?", "Who?")]
    (tmp_path / "mine.jsonl").write_text("\n".join(asked))
    spec, cells = str(tmp_path / "mine.jsonl"), grid_of(["glimpse", "random", "inverse:boxes"], ["dynamic"])
    one = plan(folder, task=spec, seed=None, count=None, cells=cells)
    run(one, tmp_path / "here")
    assert [index for index, *_ in run(one, tmp_path / "there", processes=2)] == [0, 1, 2]
    here, there = ((tmp_path / name / "questions.jsonl").read_bytes() for name in ("here", "there"))
    assert here == there and here.count(b"\n") == 4


def evaluate(folder, *more):
    return main(["evaluate", "--model", str(folder), "--count", "3", "--workers", "1", "--max-new-tokens", "3", *more])


def test_the_command(folder, tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--out", str(out), "--methods", "glimpse,random,boxes", "--budgets", "30%,dynamic", "--timing", "1"]
    assert evaluate(folder, *options) == 0
    printed = capsys.readouterr().out
    assert "| GlimpsePrune | glimpse |" in printed and "held out" in printed
    found = json.loads((out / "summary.json").read_text())
    assert [row["label"] for row in found["rows"]] == [
        "none", "glimpse@30%", "glimpse@dynamic", "random@30%", "random@dynamic", "boxes"
    ]  # fmt: skip
    assert str(tmp_path) not in json.dumps(found)
    timing = json.loads((out / "timing.json").read_text())["cells"]
    assert all(cell["bytes"] > 10_000 and cell["seconds"]["median"] > 0 for cell in timing.values())
    shares = {label: cell["share"]["median"] for label, cell in timing.items()}
    own, full = (timing[label]["seconds"]["median"] for label in ("glimpse@30%", "none"))
    assert shares["none"] == 1 and shares["glimpse@30%"] == pytest.approx(own / full), "one round: the ratio itself"
    assert evaluate(folder, *options) == 2
    assert "add --resume" in capsys.readouterr().err
    before = (out / "questions.jsonl").read_bytes()
    assert evaluate(folder, *options, "--resume") == 0
    assert (out / "questions.jsonl").read_bytes() == before


def test_control_c_keeps_what_is_done(folder, tmp_path, monkeypatch, capsys):
    real, asked, pressed = engine.ask, [], []

    def ask(loaded, index):
        if index == 1 and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        asked.append(index)
        return real(loaded, index)

    monkeypatch.setattr(engine, "ask", ask)
    options = ["--out", str(tmp_path), "--methods", "grid", "--budgets", "30%"]
    assert evaluate(folder, *options) == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err
    assert len(store.read(tmp_path)[1]) == 1
    assert evaluate(folder, *options, "--resume") == 0
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "random"], "give --out FOLDER"),
        (["--out", "x", "--json", "y.json"], "Expected one of them: leave out the others"),
        (["--out", "x", "--budgets", "lots"], "Expected a share"),
        (["--out", "x", "--shard", "2/2"], "K from 0 to N - 1"),
        (["--out", "x", "--task", "gqa:nowhere"], "nowhere does not exist"),
        (["--out", "x", "--judge-url", "http://x"], "One of --judge-url and --judge-model was given"),
        (["--out", "x", "--metric", "judge"], "The judge has no address"),
        (["--out", "x", "--metric", "bleu"], "The metric is 'bleu'"),
        (["--out", "x", "--methods", "nonsense"], "There is no pruner called"),
    ],
)
def test_impossible_requests_are_explained(folder, options, message, capsys):
    assert evaluate(folder, *options) == 2
    assert message in capsys.readouterr().err


def test_boxes_need_evidence(folder, tmp_path):
    textvqa(tmp_path)
    spec = f"textvqa:{tmp_path}"
    with pytest.raises(GlimpseError, match="question 34602 has none"):
        engine.ask(plan(folder, task=spec, seed=None, cells=(Cell("none"), Cell("boxes"))).load(), 0)
    entry = engine.ask(plan(folder, task=spec, seed=None, cells=(Cell("none"),)).load(), 0)
    assert entry["evidence"] is None and entry["cells"]["none"]["evidence_kept"] is None
    header = plan(folder, task=spec, seed=None, cells=(Cell("none"),)).load().header()
    assert summary(header, [entry])["rows"][0]["recall"] is None


def test_peak_memory_is_that_of_the_worst_moment():
    def work():
        first = torch.zeros(1000, 250)
        second = first + 1
        del first
        return second + second

    assert 2_000_000 <= peak_bytes(work, torch.device("cpu")) < 2_001_000


def test_shards_are_read():
    assert [evaluate_methods.read_shard(text) for text in (None, "0/1", "3/4")] == [(0, 1), (0, 1), (3, 4)]
