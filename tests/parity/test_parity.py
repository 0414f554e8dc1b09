"""The golden cases of the original implementation, and the command that runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from glimpse_core.__main__ import main
from glimpse_core.errors import GlimpseError
from glimpse_core.parity import run_case

GOLDEN = Path(__file__).parent / "qwen"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))
IGNORED = {"gen_logits_pruned", "ref_mask_0"}  # replaced by the rows run alone; an input of the case


@pytest.mark.parametrize("case", CASES)
def test_case(case):
    result = run_case(GOLDEN / case)
    assert [(check.name, check.message) for check in result.checks if not check.ok] == []
    assert len(result.checks) >= 25
    assert set(result.ignored) <= IGNORED


@pytest.mark.parametrize("case", ["b_rect", "g_log_probs", "k_batch_left_pad", "l_train_single"])
def test_case_with_eager_attention(case):
    assert run_case(GOLDEN / case, attn="eager").ok


def test_boxes():
    assert run_case(GOLDEN.parent / "bbox").ok


def copied(tmp_path, case):
    shutil.copytree(GOLDEN / "_base_untied", tmp_path / "_base_untied")
    return shutil.copytree(GOLDEN / case, tmp_path / case)


def test_command_tells_cases_apart(tmp_path, capsys):
    folder = copied(tmp_path, "a_square")
    assert main(["parity", str(folder)]) == 0
    assert "1 of 1 cases agree (sdpa)" in capsys.readouterr().out
    expected = dict(np.load(folder / "expected.npz"))
    expected["mask_logits_0"] = expected["mask_logits_0"] + 1e-3
    np.savez(folder / "expected.npz", **expected)
    assert main(["parity", str(folder), "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in result["checks"] if not check["ok"]] == ["mask_logits_0"]


def test_settings_of_the_case_override_the_checkpoint(tmp_path):
    """`runtime_overrides`, as the original's scripts write them into the config before they run."""
    folder = copied(tmp_path, "a_square")
    settings = json.loads((folder / "case.json").read_text())
    settings["runtime_overrides"] = {"reduce_threshold": 0.9}
    (folder / "case.json").write_text(json.dumps(settings))
    failed = {check.name for check in run_case(folder).checks if not check.ok}
    assert "mask_bool_0" in failed
    assert "mask_logits_0" not in failed


@pytest.mark.parametrize("missing", ["case.json", "inputs.npz", "expected.npz"])
def test_a_folder_that_is_no_case(tmp_path, missing, capsys):
    folder = copied(tmp_path, "a_square")
    (folder / missing).unlink()
    assert main(["parity", str(folder)]) == 2
    assert "not a golden case" in capsys.readouterr().err


def test_cases_without_their_base_are_refused(tmp_path):
    folder = copied(tmp_path, "a_square")
    (folder / "case.json").write_text('{"base_original": "../_base_original"}')
    with pytest.raises(GlimpseError, match="names no base model that is there"):
        run_case(folder)


def test_zero_masks_run_the_glimpse_and_keep_the_floor(tmp_path):
    """The original appends the glimpse token and reads its attention, and then keeps nothing but floor and anchors."""
    folder = copied(tmp_path, "a_square")
    expected = dict(np.load(folder / "expected.npz"))
    kept = np.zeros(36, dtype=bool)
    kept[torch.zeros(36).topk(1).indices] = True
    only_trunk = {name: expected[name] for name in ("attn_map", "glimpse_position_ids", "hidden_before_reduction")}
    only_trunk |= {"mask_logits_0": np.full((1, 36), -np.inf, dtype=np.float32), "mask_bool_0": kept}
    np.savez(folder / "expected.npz", **only_trunk)
    result = run_case(folder)
    assert result.ok, result.checks
    assert len(result.checks) == 5
