"""The GPU report: a dry run on the CPU at tiny sizes, always; the real one where there is a GPU."""

from __future__ import annotations

import json

import pytest
import torch

from tests.bench.test_bench import tiny
from tests.gpu.report import SHAPES, Plan, as_markdown, main, report

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO GPU: models of the published sizes were not run, only tiny ones"
)


def check(found, plan):
    for part in found["shapes"].values():
        assert part["keep_all"]["equal_steps"] == plan.steps
        assert [times["prompt"]["visual_tokens"] > 0 for times in part["times"]] == [True] * len(plan.tokens)
        for times in part["times"]:
            names = [row["name"] for row in times["rows"]]
            assert [f"glimpse at {share:.1%}" in names for share in plan.keep] == [True] * len(plan.keep)


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "llava-1.5-7b"])
def test_a_dry_run_of_every_code_path_on_the_cpu(name, tmp_path, capsys):
    """In float32, where the implementations of attention must agree; in bfloat16 that is what the report is for."""
    shape, out = tiny(tmp_path, name), tmp_path / "out"
    options = ["--shapes", shape, "--tokens", "36", "--keep", "0.25", "--rounds", "1"]
    assert main([*options, "--device", "cpu", "--dtype", "float32", "--out", str(out)]) == 0
    found = json.loads((out / "report.json").read_text())
    check(found, Plan((shape,), (36,), (0.25,)))
    (part,) = found["shapes"].values()
    assert part["keep_all"]["logits"]["largest difference"] < 1e-5
    assert part["attention"]["eager"]["kept tokens that agree"] == 1.0
    assert part["attention"]["eager"]["logits, pruned"]["largest difference"] < 1e-5
    assert "same 16 of 16 tokens" in capsys.readouterr().out


def test_without_a_gpu_the_report_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    assert "torch sees no GPU" in capsys.readouterr().err


@needs_gpu
@pytest.mark.parametrize("name", SHAPES)
def test_models_of_the_published_sizes(name, tmp_path):
    """Keep-all must give plain generate's tokens; the rest is written down (see the end of the output)."""
    plan = Plan((name,), (1000,), (0.111,), rounds=2)
    found = report(plan)
    print(as_markdown(found))
    check(found, plan)
