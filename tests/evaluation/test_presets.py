"""The preset of five variants: its answers, its JSON, resuming, sweeps, and the stored results of the demo model."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from glimpse_core import world
from glimpse_core.__main__ import main
from glimpse_core.evaluation import engine, presets, store
from glimpse_core.evaluation.fingerprint import fingerprint
from glimpse_core.evaluation.presets import VARIANTS
from glimpse_core.evaluation.report import sweep, variants
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.pruners.random import random_mask
from glimpse_core.storage.assets import ASSETS
from glimpse_core.types import Sampling, Selection
from tests.support.tiny_folder import write_base

pytestmark = pytest.mark.usefixtures("small_scenes")


def test_the_variants_are_those_of_a_session_with_masks(folder):
    """All tokens, the selected, as many random ones of a fixed draw, the evidence, all but the evidence."""
    seed, some = 10_000_000, Selection(threshold=0.4)
    loaded = presets.variants(str(folder), 5, seed, selection=some, max_new_tokens=5).load()
    differ = set()
    for index in range(5):
        entry, item = engine.ask(loaded, index), loaded.task.item(index)
        session = Session.ask(loaded.model, [item.image()], item.question)
        kept, (grid,) = session.select(some).mask, session.grids
        evidence = box_mask(item.boxes, grid)
        masks = (None, kept, random_mask(grid.tokens, int(kept.sum()), seed + index), evidence, ~evidence)
        assert (entry["evidence"], entry["cells"]["boxes"]["kept"]) == (int(evidence.sum()),) * 2
        for (name, cell), mask in zip(VARIANTS.items(), masks, strict=True):
            found = entry["cells"][cell.label]
            expected = session.answer(mask, Sampling(max_new_tokens=5)).complete()
            assert found["answer"] == loaded.model.processor.decode(expected.tokens), (index, name)
            whole = torch.ones(grid.tokens, dtype=torch.bool) if mask is None else mask
            assert (store.unpacked(found["mask"], grid.tokens) == whole.numpy()).all()
        differ.add(len({found["answer"] for found in entry["cells"].values()}))
    assert max(differ) > 2, "variants that all say the same prove nothing"


def test_the_header_of_a_comparison_is_that_of_older_runs(folder):
    """So that those can be resumed; only the preset says from where it draws."""
    plan = presets.variants(str(folder), 5, 10_000_000)
    own, other = (one.load().header()["plan"] for one in (plan, replace(plan, first_draw=0)))
    assert own.pop("first_draw") == 10_000_000 and own == other
    assert list(other) == [
        "model", "task", "cells", "count", "seed", "by_group", "glimpse", "selection", "match", "policy", "metric",
        "judge", "suffix", "max_new_tokens", "dtype", "device", "attn", "together",
    ]  # fmt: skip


def evaluate(folder, path, *more):
    options = ["--seed", "10000005", "--count", "5", "--workers", "1", "--max-new-tokens", "4"]
    return main(["evaluate", "--model", str(folder), *options, "--json", str(path), *more])


def test_the_command_writes_a_complete_and_repeatable_result(folder, tmp_path, capsys):
    assert evaluate(folder, tmp_path / "a.json", "--count", "10") == 0
    assert evaluate(folder, tmp_path / "b.json", "--count", "10") == 0
    assert "all" in capsys.readouterr().out
    stored, first, second = (
        json.loads(file.read_text())
        for file in (ASSETS / "results" / "demo.json", tmp_path / "a.json", tmp_path / "b.json")
    )
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert keys(first) == keys(stored), "those of the published file, in its order"
    assert set(first["accuracy"]) == set(VARIANTS) and first["held_out"] is True
    table = (tmp_path / "a.md").read_text()
    assert "held out" in table and "| **one object** | 4 |" in table and "| **all** | 10 |" in table
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


@pytest.mark.usefixtures("small_pages")
def test_scenes_pages_and_budgets_stand_beside_the_figures_of_all(folder, tmp_path, capsys):
    assert evaluate(folder, tmp_path / "a.json", "--kind", "both", "--count", "44", "--budgets", "10%,0.5") == 0
    found = json.loads((tmp_path / "a.json").read_text())
    stored = json.loads((ASSETS / "results" / "demo.json").read_text())
    assert [name for name in found if name not in ("scenes", "pages", "budgets")] == list(stored)
    assert (found["scenes"]["count"], found["pages"]["count"]) == (22, 22)
    assert set(found["scenes"]["by_type"]) | set(found["pages"]["by_type"]) == set(found["by_type"])
    assert found["pages"]["one_object"]["count"] == sum(
        found["by_type"][kind]["count"] for kind in set(world.LOOK_UP_TYPES) & set(found["by_type"])
    )
    for name in VARIANTS:
        halves = (found["scenes"]["accuracy"][name] + found["pages"]["accuracy"][name]) / 2
        assert found["accuracy"][name] == pytest.approx(halves, abs=1e-12)
    _, entries = store.read_lines(tmp_path / "a.jsonl")
    for row, share in zip(found["budgets"], (0.1, 0.5), strict=True):
        for name in presets.RANKINGS:
            label = f"{name}@{100 * share:g}%"
            kept = {entry["cells"][label]["kept"] / round(share * entry["visual"]) for entry in entries}
            assert kept == {1.0}, "the same number of tokens for every method"
            right = [entry["cells"][label]["score"] for entry in entries]
            assert row["all"]["accuracy"][name] == pytest.approx(sum(right) / 44, abs=1e-12)
    table = (tmp_path / "a.md").read_text()
    assert "| **scenes** | 22 |" in table and "| **pages** | 22 |" in table and "| 10% | pages |" in table


def keys(value):
    """In their order, all the way down."""
    return [(name, keys(part)) for name, part in value.items()] if isinstance(value, dict) else None


def test_no_evidence_means_nothing_is_dropped_and_the_oracle_sees_nothing(folder):
    loaded = presets.variants(str(folder), 10, 10_000_000, max_new_tokens=4).load()
    index = next(index for index in range(10) if not loaded.task.item(index).boxes)
    cells = engine.ask(loaded, index)["cells"]
    assert cells["boxes"]["kept"] == cells["glimpse@dynamic"]["evidence_kept"] == 0
    assert cells["inverse:boxes"]["kept"] == cells["none"]["kept"]
    assert cells["inverse:boxes"]["answer"] == cells["none"]["answer"]


def test_an_interrupted_run_goes_on_where_it_stopped(folder, tmp_path, capsys, monkeypatch):
    assert evaluate(folder, tmp_path / "whole.json") == 0
    text = (tmp_path / "whole.jsonl").read_text()
    (tmp_path / "cut.jsonl").write_text("\n".join(text.split("\n")[:3]) + '\n{"index": 2, "se')
    asked, real = [], engine.ask
    monkeypatch.setattr(engine, "ask", lambda loaded, index: asked.append(index) or real(loaded, index))
    assert evaluate(folder, tmp_path / "cut.json", "--resume") == 0
    assert asked == [2, 3, 4] and (tmp_path / "cut.jsonl").read_text() == text
    whole, cut = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "cut"))
    assert {**whole, "seconds": 0} == {**cut, "seconds": 0}
    capsys.readouterr()
    assert evaluate(folder, tmp_path / "cut.json", "--resume", "--seed", "10000006") == 2
    assert "other settings" in capsys.readouterr().err


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
        ([], "Nothing says where the result goes"),
        (["--json", "x.json", "--count", "0"], "Expected at least 1"),
        (["--json", "x.json", "--seed", "-1"], "Expected 0 or more"),
        (["--json", "x.json", "--glimpse", "a", "b"], "add --sweep"),
        (["--json", "x.json", "--budgets", "dynamic"], "Expected a share"),
        (["--sweep", "x", "--budgets", "5%"], "whose table has no budgets"),
        (["--out", "x", "--kind", "page"], "Expected --task"),
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
from glimpse_core.evaluation.workers import each
print(list(each(operator.is_, range(4), tqdm.get_lock, None, 4)))
"""


def test_worker_processes_end_without_a_warning():
    done = subprocess.run([sys.executable, "-c", WORKERS], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("[False, False, False, False]\n", "", 0)


def test_the_stored_results_are_what_is_written_today():
    """Questions were not stored, so figures cannot be counted again; but keys, tables, weights and the sums can."""
    stored = json.loads((ASSETS / "results" / "demo.json").read_text())
    assert variants.markdown(stored) == (ASSETS / "results" / "demo.md").read_text()
    rows = [*stored["by_type"].values()]
    assert sum(row["count"] for row in rows) == stored["count"] == stored["settings"]["count"]
    for name, share in stored["accuracy"].items():
        right = sum(round(row[name] * row["count"]) for row in rows)
        assert right / stored["count"] == pytest.approx(share, abs=1e-12), name
    model = catalog.load("demo", device="cpu")
    assert stored["weights"] == fingerprint(model)
    swept = json.loads((ASSETS / "sweep" / "sweep.json").read_text())
    assert sweep.markdown(swept) == (ASSETS / "sweep" / "sweep.md").read_text()
