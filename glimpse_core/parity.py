"""Golden cases: numbers that the original implementation produced on small random models, compared with ours.

A case is a folder with `case.json`, `inputs.npz`, `expected.npz`, `new_modules/` and, for training cases, `grads.npz`; its
`case.json` names the folder of its base model. Whatever `expected.npz` holds and this file knows is compared; what it does not
know is listed as ignored. Ids, masks, positions and lengths must be equal; real numbers within 1e-4 of their scale.

Padded places hold garbage in both implementations and are left out of every comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glimpse_core import catalog, checkpoint
from glimpse_core.backbone import Qwen25VL
from glimpse_core.decode import feed, finish, next_logits
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import append, trunk
from glimpse_core.model import GlimpseModel
from glimpse_core.pruners import GlimpsePruner, NoPruner
from glimpse_core.types import Prefix, Prompt

TOLERANCE = 1e-4
# Not compared: bookkeeping of transformers 4 that positions are derived from, and what other entries replace.
KNOWN_ELSEWHERE = ("rope_deltas",)


@dataclass(frozen=True)
class Check:
    """One compared tensor. tolerance 0: must be equal, difference counts the places that are not."""

    name: str
    ok: bool
    difference: float
    tolerance: float
    message: str = ""


@dataclass
class Result:
    case: str
    checks: list[Check] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def equal(self, name: str, ours: Any, expected: Any) -> None:
        """Compare integers or masks exactly."""
        ours, expected = torch.as_tensor(ours), torch.as_tensor(expected)
        if ours.shape != expected.shape:
            self._add(name, False, float("inf"), 0.0, f"shape {tuple(ours.shape)}, expected {tuple(expected.shape)}")
            return
        wrong = int((ours != expected).sum())
        self._add(name, not wrong, wrong, 0.0, f"{wrong} of {expected.numel()} entries differ")

    def close(self, name: str, ours: Tensor, expected: Tensor, floor: float = 1.0) -> None:
        """Compare real numbers: 1e-4 of the largest expected one, or of `floor` if that is larger. Infinities must agree."""
        ours = torch.as_tensor(ours).detach().float()
        if ours.shape != expected.shape:
            self._add(name, False, float("inf"), TOLERANCE, f"shape {tuple(ours.shape)}, expected {tuple(expected.shape)}")
            return
        infinite = ~expected.isfinite()
        agree = bool((ours.isfinite() == ~infinite).all()) and torch.equal(ours[infinite], expected[infinite])
        finite = expected[~infinite]
        difference = (ours[~infinite] - finite).abs().max().item() if finite.numel() else 0.0
        scale = max(finite.abs().max().item() if finite.numel() else 0.0, floor)
        tolerance = TOLERANCE * scale
        self._add(name, agree and difference <= tolerance, difference, tolerance, f"off by {difference:.2e}, allowed {tolerance:.2e}")

    def _add(self, name: str, ok: bool, difference: float, tolerance: float, message: str) -> None:
        self.checks.append(Check(name, ok, difference, tolerance, "" if ok else message))


@dataclass(frozen=True)
class Case:
    """A case in memory: the model it is about, its prompt and what is expected."""

    settings: Mapping[str, Any]
    model: GlimpseModel
    prompt: Prompt
    labels: Tensor | None
    expected: Mapping[str, Tensor]
    grads: Mapping[str, Tensor] | None

    @property
    def rows(self) -> int:
        return len(self.prompt.input_ids)

    @property
    def references(self) -> tuple[Tensor, ...] | None:
        """(N_b,) bool per row, if the case has reference masks."""
        masks = [self.expected.get(f"ref_mask_{row}") for row in range(self.rows)]
        return None if any(mask is None for mask in masks) else tuple(mask.flatten() for mask in masks)


def run_case(folder: str | Path, attn: str = "sdpa") -> Result:
    """Run one folder. Raises `GlimpseError` for a folder that is no case, or about a model that is not supported."""
    folder = Path(folder)
    if (folder / "bbox_golden.json").exists():
        return run_boxes(folder)
    case = read_case(folder, attn)
    result = Result(folder.resolve().name)
    compared = _Expected(case.expected)
    with torch.no_grad():
        compare_vision(case, compared, result)
    if case.labels is not None:
        from glimpse_core.parity_training import compare_training  # needs the losses

        compare_training(case, compared, result)
    else:
        with torch.no_grad():
            compare_trunk(case, compared, result)
            compare_unpruned(case, compared, result)
            compare_pruned(case, compared, result)
    result.ignored = [name for name in case.expected if name not in compared.used and name not in KNOWN_ELSEWHERE]
    return result


class _Expected(Mapping[str, Tensor]):
    """The expected tensors, noting which ones were looked at."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.used = tensors, set()

    def __getitem__(self, name: str) -> Tensor:
        self.used.add(name)
        return self.tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def read_case(folder: Path, attn: str) -> Case:
    """Load everything. Settings in case.json (`gp_config`, then `runtime_overrides`) override the checkpoint's."""
    try:
        settings = json.loads((folder / "case.json").read_text())
        inputs, expected = _read_npz(folder / "inputs.npz"), _read_npz(folder / "expected.npz")
    except (OSError, ValueError) as error:
        raise GlimpseError(f"{folder} is not a golden case: {error}. A case has case.json, inputs.npz and expected.npz") from error
    if "base" not in settings:
        raise GlimpseError(f"{folder} is not a Qwen2.5-VL case (its case.json has no \"base\"), and other models are not supported so far")
    modules = folder / settings.get("new_modules", "new_modules")
    model = catalog.load(folder / settings["base"], glimpse=modules, dtype="float32", device="cpu", attn=attn)
    published = json.loads((modules / "config.json").read_text())
    published |= settings.get("gp_config", {}) | settings.get("runtime_overrides", {}) | _implied(expected, inputs)
    config = checkpoint.from_published(published)
    checkpoint.check(config, model.backbone)
    model.vip.config = config
    prompt = model.backbone.prompt(
        inputs["input_ids"], inputs.get("pixel_values"), inputs.get("image_grid_thw"), inputs.get("attention_mask")
    )
    grads = _read_npz(folder / "grads.npz") if (folder / "grads.npz").exists() else None
    return Case(settings, replace(model, config=config), prompt, inputs.get("labels"), expected, grads)


def _implied(expected: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> dict[str, bool]:
    """Cases made with given masks set the flag at run time and leave it out of the files: infinite logits show it."""
    logits = expected.get("mask_logits_0")
    if logits is None or "labels" in inputs or "attn_map" in expected or not bool(logits.isinf().all()):
        return {}
    if "ref_mask_0" in expected:
        return {"use_ref_masks": True, "use_zero_masks": False}
    return {"use_zero_masks": True, "use_ref_masks": False}


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


# -------------------------------------------------------------------------------------------------- comparisons


def compare_vision(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The vision tower, its window order, and the glimpse vectors."""
    backbone, config = case.model.backbone, case.model.config
    vision = backbone.see(case.prompt, config.vision_layers)
    order, lengths = backbone.windows(case.prompt)
    unit = backbone.hf.config.vision_config.spatial_merge_size**2
    edges = torch.tensor([0, *np.cumsum(lengths) * unit])
    images = torch.tensor([0, *np.cumsum([grid.tokens * unit for grid in case.prompt.grids])])
    for name, ours in (
        ("image_embeds", vision.embeds),
        ("selected_image_embeds", vision.conditions),
        ("le_vectors", case.model.glimpse.eval()()),
    ):
        if name in expected:
            result.close(name, ours, expected[name])
    for name, ours in (("window_index", order), ("cu_window_seqlens", edges), ("cu_seqlens", images)):
        if name in expected:
            result.equal(name, ours, expected[name])


def compare_trunk(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The prompt with the glimpse token, stopped behind layer K."""
    model, prompt = case.model, case.prompt
    backbone, config = model.backbone, model.config
    vision = backbone.see(prompt, config.vision_layers)
    start = backbone.start(prompt, vision)
    if config.masks == "vip":
        with_glimpse = append(start, model.glimpse()[config.glimpse_layers.index(0)])
        prefix = trunk(model, prompt, vision)[0]
    else:
        with_glimpse, prefix = start, NoPruner(model)(prompt, vision).trunk
    if "glimpse_position_ids" in expected:
        _equal_positions(result, "glimpse_position_ids", with_glimpse, expected["glimpse_position_ids"])
    if "hidden_before_reduction" in expected:
        hidden = backbone.text.norm(prefix.hidden) if prefix.depth == backbone.layers else prefix.hidden
        real = prompt.attention_mask.bool()
        result.close("hidden_before_reduction", hidden[real], expected["hidden_before_reduction"][real])
    if "kv_layers_before_reduction" in expected:
        result.equal("kv_layers_before_reduction", _lengths(prefix)[: prefix.depth], expected["kv_layers_before_reduction"])


def compare_unpruned(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The base model alone."""
    pruned = NoPruner(case.model)(case.prompt)
    if "unpruned_position_ids" in expected:
        _equal_positions(result, "unpruned_position_ids", pruned.branch, expected["unpruned_position_ids"])
    _compare_answers(case, finish(case.model.backbone, pruned.branch), "unpruned", expected, result)


def compare_pruned(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The whole method: scores, masks, the pruned prompt, its caches and the answer."""
    model, prompt, backbone = case.model, case.prompt, case.model.backbone
    pruned = GlimpsePruner(model, references=case.references)(prompt)
    if "attn_map" in expected:
        result.close("attn_map", pruned.scores.attention, expected["attn_map"])
    for row in range(case.rows):
        if f"mask_logits_{row}" in expected:
            result.close(f"mask_logits_{row}", pruned.scores.logits[row], expected[f"mask_logits_{row}"])
        if f"mask_bool_{row}" in expected:
            result.equal(f"mask_bool_{row}", pruned.kept[row], expected[f"mask_bool_{row}"])
        if f"ref_mask_{row}" in expected:
            result.equal(f"ref_mask_{row}", pruned.kept[row] if _plain_reference(case) else expected[f"ref_mask_{row}"].flatten(), expected[f"ref_mask_{row}"].flatten())
    branch = finish(backbone, pruned.branch)
    mask = torch.ones(branch.hidden.shape[:2], dtype=torch.bool) if branch.padding is None else branch.padding
    if "pruned_attention_mask" in expected:
        result.equal("pruned_attention_mask", mask.long(), expected["pruned_attention_mask"])
    if result.checks[-1].ok is False:
        return  # the rest has another shape
    if "pruned_input_ids" in expected:
        kept = prompt.input_ids[backbone.keep_mask(prompt, pruned.kept)]
        result.equal("pruned_input_ids", kept, expected["pruned_input_ids"][mask])
    if "pruned_position_ids" in expected:
        _equal_positions(result, "pruned_position_ids", branch, expected["pruned_position_ids"])
    if "pruned_prefill_logits" in expected:
        result.close("pruned_prefill_logits", backbone.logits(branch.hidden)[mask], expected["pruned_prefill_logits"][mask])
    if "pruned_kv_len_per_layer" in expected:
        result.equal("pruned_kv_len_per_layer", _lengths(branch), expected["pruned_kv_len_per_layer"])
    for name, layer in (("pruned_key_layer0", 0), ("pruned_key_last_layer", -1)):
        if name in expected:
            keys = branch.cache.layers[layer].keys.transpose(1, 2)[mask]
            result.close(name, keys, expected[name].transpose(1, 2)[mask])
    _compare_answers(case, branch, "pruned", expected, result)


def _plain_reference(case: Case) -> bool:
    """Whether the kept tokens must be exactly the reference mask: nothing but it decides."""
    selection = case.model.config.selection
    return case.model.config.masks == "reference" and selection.max_ratio is None and not selection.anchors


def _compare_answers(case: Case, prefix: Prefix, kind: str, expected: Mapping[str, Tensor], result: Result) -> None:
    """Next-token logits and a greedy answer from a finished prefix."""
    if f"{kind}_first_logits" in expected:
        result.close(f"{kind}_first_logits", next_logits(case.model.backbone, prefix), expected[f"{kind}_first_logits"])
    if f"gen_ids_{kind}" not in expected:
        return
    steps = expected[f"gen_ids_{kind}"].shape[1]
    ids, logits, positions, prefix = greedy(case.model.backbone, prefix, steps)
    for row in range(case.rows):
        # The original decodes every row of a pruned batch with the last row's positions; row{b} is the row run alone.
        alone = f"gen_ids_{kind}_row{row}" in expected
        suffix, place = (f"_row{row}", 0) if alone else ("", row)
        label = f"[{row}]" if case.rows > 1 else ""
        result.equal(f"gen_ids_{kind}{label}", ids[row], expected[f"gen_ids_{kind}{suffix}"][place])
        if f"gen_logits_{kind}{suffix}" in expected:
            result.close(f"gen_logits_{kind}{label}", logits[row], expected[f"gen_logits_{kind}{suffix}"][place])
    if f"gen_position_ids_{kind}" in expected:
        wanted = expected[f"gen_position_ids_{kind}"]
        ours = positions if wanted.shape[1] == case.rows else positions[:, -1:]
        result.equal(f"gen_position_ids_{kind}", ours, wanted)
    if f"gen_final_kv_len_{kind}" in expected:
        result.equal(f"gen_final_kv_len_{kind}", _lengths(prefix), expected[f"gen_final_kv_len_{kind}"])


def greedy(backbone: Qwen25VL, prefix: Prefix, steps: int) -> tuple[Tensor, Tensor, Tensor, Prefix]:
    """ids (B, steps), logits (B, steps, vocabulary) and the positions (3, B, steps - 1) of the tokens fed back. No stop token."""
    ids, logits, positions = [], [], []
    for step in range(steps):
        if step:
            prefix = feed(backbone, prefix, ids[-1])
            positions.append(prefix.positions)
        logits.append(next_logits(backbone, prefix))
        ids.append(logits[-1].argmax(-1, keepdim=True))
    return torch.cat(ids, 1), torch.stack(logits, 1), torch.cat(positions, -1), prefix


def _equal_positions(result: Result, name: str, prefix: Prefix, expected: Tensor) -> None:
    ours = prefix.positions
    if prefix.padding is not None and ours.shape == expected.shape:
        ours, expected = ours[:, prefix.padding], expected[:, prefix.padding]
    result.equal(name, ours, expected)


def _lengths(prefix: Prefix) -> list[int]:
    return [layer.get_seq_length() for layer in prefix.cache.layers]


def run_boxes(folder: Path) -> Result:
    """The box rasterization: visit order and mask of every record."""
    from glimpse_core.training.targets import box_mask, box_tokens
    from glimpse_core.types import Grid

    result = Result(folder.resolve().name)
    for number, record in enumerate(json.loads((folder / "bbox_golden.json").read_text())):
        grid = Grid(*record["grid_hw"])
        result.equal(f"indices_in_order[{number}]", box_tokens(record["boxes"], grid), record["indices_in_order"])
        mask = box_mask(record["boxes"], grid).nonzero().flatten().tolist()
        result.equal(f"mask_indices[{number}]", mask, record["mask_indices"])
    return result
