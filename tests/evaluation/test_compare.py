"""Comparisons on a tiny random model: equal to one pruner at a time, resumable, in shards, by workers, stoppable."""

import json

import pytest
import torch

from glimpse_core import world
from glimpse_core.__main__ import main
from glimpse_core.cli import evaluate_methods
from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import compare, measure, store
from glimpse_core.evaluation.cells import Cell, Maker, grid_of, read_budget
from glimpse_core.evaluation.plan import Plan
from glimpse_core.evaluation.report.rows import summary
from glimpse_core.inference.decoding import Answer, finish
from glimpse_core.inference.rows import lengths
from glimpse_core.types import Sampling, Selection
from tests.evaluation.test_evaluation import folder  # noqa: F401 - a fixture

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


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """The same questions on small scenes, so that a tiny model takes milliseconds."""
    questions = world.questions(world.scene(7, size=(336, 336)))

    def item(seed, index, count, order=world.TYPES):
        kind = order[index % len(order)]
        asked = next((q for q in questions if q.type == kind), questions[0])  # not every scene has every type
        return world.scene(seed + index, size=(168, 196)), asked

    monkeypatch.setattr(world, "held_out_item", item)


def plan(folder, **changes):  # noqa: F811
    usual = {"model": str(folder), "task": "world", "cells": CELLS, "count": 4, "seed": 10_000_000, "max_new_tokens": 5}
    return Plan(**{**usual, **changes})


def test_cells_of_methods_and_budgets():
    assert [cell.label for cell in grid_of(["random", "boxes", "random"], [0.111, 0.111, "dynamic"])] == [
        "none", "random@11.1%", "random@dynamic", "boxes"
    ]  # fmt: skip
    assert [read_budget(text) for text in ("11.1%", "0.222", "dynamic", " 1 ")] == [0.111, 0.222, "dynamic", 1.0]
    for text in ("0", "120%", "-1", "many", ""):
        with pytest.raises(GlimpseError, match="wanted was a share"):
            read_budget(text)
    with pytest.raises(GlimpseError, match="random needs a budget"):
        grid_of(["random"], [])
    with pytest.raises(GlimpseError, match="no pruner called 'fastw'"):
        grid_of(["fastw"], [0.1])
    cascade = Cell("divprune:50%+glimpse", 0.2)
    assert (cascade.name, cascade.title) == ("divprune+glimpse", "DivPrune 50% + GlimpsePrune")
    assert cascade.options == {"divprune": {"ratio": 0.5}}
    again = Cell("random:draw2", 0.2)
    assert (again.name, again.title, again.options, again.draw) == ("random", "random draw 2", {}, 2)
    for wrong in ("fastv:draw2", "random:draw0", "random:drawn", "random:draw2+glimpse", "divprune:half+glimpse"):
        with pytest.raises(GlimpseError, match="wanted was a share"):
            grid_of([wrong], [0.1])


def test_further_draws_are_other_tokens(folder):  # noqa: F811
    cells = grid_of(["random", "random:draw2", "random:draw3"], [0.5])
    masks = [entry["mask"] for entry in compare.ask(plan(folder, cells=cells).load(), 0)["cells"].values()]
    assert len(set(masks)) == 4


def test_every_cell_equals_its_pruner_alone(folder):  # noqa: F811
    loaded = plan(folder).load()
    model = loaded.model
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    for index in (0, 3):
        entry = compare.ask(loaded, index)
        item = loaded.task.item(index)
        prompt = model.processor.prompt(model.backbone, [item.image()], item.question)
        length, visual = prompt.input_ids.shape[1], entry["visual"]
        glimpsed = entry["cells"]["glimpse@dynamic"]["kept"]
        for cell in CELLS:
            found = entry["cells"][cell.label]
            pruner = Maker(model, Selection(), "final", "published").pruner(cell, item, index, glimpsed)
            with torch.inference_mode():
                pruned = pruner(prompt)
                branch = finish(model.backbone, pruned.branch)
            answer = Answer(
                model.backbone, prompt, lambda b=branch: fork(b), model.processor.decode, Sampling(max_new_tokens=5)
            ).complete()  # fmt: skip
            assert found["answer"] == model.processor.decode(answer.tokens), cell
            assert (compare.unpacked(found["mask"], visual) == pruned.kept[0].numpy()).all()
            # The shares again, from what the layers have read and what the caches hold.
            text = length - visual
            held = [size - text for size in lengths(branch)]
            glimpse = model.keep_depth if "glimpse" in cell.method else 0  # so many layers have read the glimpse token
            read = [size - text - (layer < glimpse) for layer, size in enumerate(branch.ran)]
            assert found["kv"] == pytest.approx(sum(held) / len(held) / visual, abs=1e-6)
            assert found["prefill"] == pytest.approx(sum(read) / len(read) / visual, abs=1e-6)
            layers = [flops.decoder_layer(shape.text, size, size * size) for size in branch.ran]
            full = len(layers) * flops.decoder_layer(shape.text, length, length * length)
            rest = pruner.selector_flops(shape, length, visual)
            assert found["flops"] == pytest.approx((sum(layers) + rest) / full, rel=0.03), cell
        counts = {label: found["kept"] for label, found in entry["cells"].items()}
        assert counts["none"] == visual and counts["text_only"] == 0
        assert counts["random@30%"] == counts["fastv@30%"] == round(0.3 * visual)
        assert counts["random@dynamic"] == counts["fastv@dynamic"] == glimpsed


def test_killed_and_resumed_in_shards_and_by_workers_all_give_the_same_bytes(folder, tmp_path):  # noqa: F811
    one = plan(folder, cells=grid_of(["glimpse", "random"], ["dynamic"]))
    compare.run(one, tmp_path / "whole")
    whole = (tmp_path / "whole" / "questions.jsonl").read_bytes()
    assert whole.count(b"\n") == 5

    cut = tmp_path / "cut" / "questions.jsonl"
    cut.parent.mkdir()
    cut.write_bytes(b"\n".join(whole.split(b"\n")[:3]) + b'\n{"index": 2, "ke')
    answered = []
    compare.run(
        one, cut.parent, resume=True, tell=lambda entry, done, total: answered.append((entry["index"], done, total))
    )
    assert answered == [(2, 3, 4), (3, 4, 4)]
    assert cut.read_bytes() == whole

    stopped = compare.entries(one.load(), tmp_path / "stopped")
    assert next(stopped)["index"] == 0
    stopped.close()  # as the page's Stop does
    compare.run(one, tmp_path / "stopped", resume=True)
    assert (tmp_path / "stopped" / "questions.jsonl").read_bytes() == whole

    compare.run(one, tmp_path / "shards", shard=(1, 2))
    assert store.merge(tmp_path / "shards") is None
    compare.run(one, tmp_path / "shards", shard=(0, 2))
    assert (tmp_path / "shards" / "questions.jsonl").read_bytes() == whole

    other = plan(folder, cells=one.cells, seed=10_000_001)
    with pytest.raises(GlimpseError, match="other settings"):
        compare.run(other, tmp_path / "whole", resume=True)
    compare.run(other, tmp_path / "shards2", shard=(1, 2))
    (tmp_path / "shards2" / "questions.0-of-2.jsonl").write_bytes(
        (tmp_path / "shards/questions.0-of-2.jsonl").read_bytes()
    )
    with pytest.raises(GlimpseError, match="different runs"):
        store.read(tmp_path / "shards2")


def evaluate(folder, *more):  # noqa: F811
    return main(["evaluate", "--model", str(folder), "--count", "3", "--workers", "1", "--max-new-tokens", "3", *more])


def test_the_command(folder, tmp_path, capsys):  # noqa: F811
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


def test_control_c_keeps_what_is_done(folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    real, asked, pressed = compare.ask, [], []

    def ask(loaded, index):
        if index == 1 and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        asked.append(index)
        return real(loaded, index)

    monkeypatch.setattr(compare, "ask", ask)
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
        (["--out", "x", "--json", "y.json"], "give one of them"),
        (["--out", "x", "--budgets", "lots"], "wanted was a share"),
        (["--out", "x", "--shard", "2/2"], "K from 0 to N - 1"),
        (["--out", "x", "--task", "gqa:nowhere"], "nowhere does not exist"),
        (["--out", "x", "--judge-url", "http://x"], "both --judge-url and --judge-model"),
        (["--out", "x", "--metric", "judge"], "the judge has no address"),
        (["--out", "x", "--metric", "bleu"], "the metric is 'bleu'"),
        (["--out", "x", "--methods", "nonsense"], "no pruner called"),
    ],
)
def test_impossible_requests_are_explained(folder, options, message, capsys):  # noqa: F811
    assert evaluate(folder, *options) == 2
    assert message in capsys.readouterr().err


def test_boxes_need_evidence(folder, tmp_path):  # noqa: F811
    from tests.evaluation.test_tasks import textvqa

    textvqa(tmp_path)
    spec = f"textvqa:{tmp_path}"
    with pytest.raises(GlimpseError, match="question 34602 comes without"):
        compare.ask(plan(folder, task=spec, seed=None, cells=(Cell("none"), Cell("boxes"))).load(), 0)
    entry = compare.ask(plan(folder, task=spec, seed=None, cells=(Cell("none"),)).load(), 0)
    assert entry["evidence"] is None and entry["cells"]["none"]["evidence_kept"] is None
    header = plan(folder, task=spec, seed=None, cells=(Cell("none"),)).load().header()
    assert summary(header, [entry])["rows"][0]["recall"] is None


def test_peak_memory_is_that_of_the_worst_moment():
    def work():
        first = torch.zeros(1000, 250)
        second = first + 1
        del first
        return second + second

    assert 2_000_000 <= measure.peak_bytes(work, torch.device("cpu")) < 2_001_000


def test_shards_are_read():
    assert [evaluate_methods.read_shard(text) for text in (None, "0/1", "3/4")] == [(0, 1), (0, 1), (3, 4)]
