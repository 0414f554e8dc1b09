"""Comparing one case stage by stage: vision, trunk, the unpruned answer, the pruned answer.

Padded places hold garbage in both implementations and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.glimpse.look import trunk
from glimpse_core.glimpse.token import append
from glimpse_core.inference.decoding import begin, finish, next_logits, step
from glimpse_core.inference.rows import Rows, cached, layers_of, lengths
from glimpse_core.parity.case import Case
from glimpse_core.parity.result import Result
from glimpse_core.pruners import GlimpsePruner, NoPruner
from glimpse_core.pruners.base import prefill_without_glimpse
from glimpse_core.types import Prefix


def compare_vision(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The vision tower, its window order, and the glimpse vectors."""
    backbone, config = case.model.backbone, case.model.config
    vision = backbone.encode_images(case.prompt, config.vision_layers)
    for name, ours in (
        ("image_embeds", vision.embeds),
        ("selected_image_embeds", vision.conditions),
        ("le_vectors", case.model.glimpse.eval()()),
    ):
        if name in expected:
            result.close(name, ours, expected[name])
    if "window_index" in expected:
        _compare_windows(case, expected, result)


def _compare_windows(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """Qwen2.5-VL's window order; lengths are in patches."""
    layout = case.model.backbone.layout(case.prompt, whole=False)
    unit = case.model.backbone.hf.config.vision_config.spatial_merge_size**2
    for name, ours in (
        ("window_index", layout.order),
        ("cu_window_seqlens", torch.tensor([0, *np.cumsum(layout.lengths) * unit])),
        ("cu_seqlens", torch.tensor([0, *np.cumsum(layout.images or layout.lengths) * unit])),
    ):
        if name in expected:
            result.equal(name, ours, expected[name])


def compare_trunk(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The prompt with the glimpse token, stopped after layer K."""
    model, prompt = case.model, case.prompt
    backbone, config = model.backbone, model.config
    vision = backbone.encode_images(prompt, config.vision_layers)
    start = backbone.start(prompt, vision)
    if config.masks != "reference":
        with_glimpse = append(start, model.glimpse()[config.glimpse_layers.index(0)])
        prefix = trunk(model, prompt, vision)[0]
    else:
        with_glimpse, prefix = start, prefill_without_glimpse(model, prompt, vision)
    if "glimpse_position_ids" in expected:
        _equal_positions(result, "glimpse_position_ids", with_glimpse, expected["glimpse_position_ids"])
    if "hidden_before_reduction" in expected:
        norm: Any = backbone.text.norm
        hidden = norm(prefix.hidden) if prefix.depth == backbone.layers else prefix.hidden
        real = prompt.attention_mask.bool()
        result.close("hidden_before_reduction", hidden[real], expected["hidden_before_reduction"][real])
    if "kv_layers_before_reduction" in expected:
        result.equal("kv_layers_before_reduction", _held(prefix), expected["kv_layers_before_reduction"])


def compare_unpruned(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The base model alone."""
    if "expanded_input_ids" in expected:
        result.equal("expanded_input_ids", case.ids, expected["expanded_input_ids"])
    pruned = NoPruner(case.model)(case.prompt)
    if "unpruned_position_ids" in expected:
        _equal_positions(result, "unpruned_position_ids", pruned.branch, expected["unpruned_position_ids"])
    _compare_answers(case, finish(case.model.backbone, pruned.branch), "unpruned", expected, result)


def compare_pruned(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The whole method: scores, masks, the pruned prompt, its caches and the answer."""
    model, prompt, backbone = case.model, case.prompt, case.model.backbone
    pruned = GlimpsePruner(model, references=case.references)(prompt)
    assert pruned.scores is not None  # GlimpsePrune's are there
    if "attn_map" in expected:
        result.close("attn_map", pruned.scores.attention, expected["attn_map"])
    for row in range(case.rows):
        if f"mask_logits_{row}" in expected:
            result.close(f"mask_logits_{row}", pruned.scores.logits[row], expected[f"mask_logits_{row}"])
        if f"mask_bool_{row}" in expected:
            result.equal(f"mask_bool_{row}", pruned.kept[row], expected[f"mask_bool_{row}"])
    branch = finish(backbone, pruned.branch)
    mask = torch.ones(branch.hidden.shape[:2], dtype=torch.bool) if branch.padding is None else branch.padding
    if "pruned_attention_mask" in expected:
        result.equal("pruned_attention_mask", mask.long(), expected["pruned_attention_mask"])
    if "pruned_input_ids" in expected and mask.shape != expected["pruned_input_ids"].shape:
        return  # already reported; nothing after it has the same shape
    if "pruned_input_ids" in expected:
        kept = case.ids[backbone.keep_mask(prompt, pruned.kept)]
        result.equal("pruned_input_ids", kept, expected["pruned_input_ids"][mask])
    if "pruned_position_ids" in expected:
        _equal_positions(result, "pruned_position_ids", branch, expected["pruned_position_ids"])
    if "pruned_prefill_logits" in expected:
        logits = backbone.logits(branch.hidden)[..., : case.vocabulary]
        result.close("pruned_prefill_logits", logits[mask], expected["pruned_prefill_logits"][mask])
    if "pruned_kv_len_per_layer" in expected:
        result.equal("pruned_kv_len_per_layer", lengths(branch), expected["pruned_kv_len_per_layer"])
    for name, layer in (("pruned_key_layer0", 0), ("pruned_key_last_layer", -1)):
        if name in expected:
            keys = cached(branch)[layer][0].transpose(1, 2)[mask]
            result.close(name, keys, expected[name].transpose(1, 2)[mask])
    _compare_answers(case, branch, "pruned", expected, result)


def _compare_answers(case: Case, prefix: Prefix, kind: str, expected: Mapping[str, Tensor], result: Result) -> None:
    """Next-token logits and a greedy answer from a finished prefix."""
    if f"{kind}_first_logits" in expected:
        logits = next_logits(case.model.backbone, prefix)[:, : case.vocabulary]
        result.close(f"{kind}_first_logits", logits, expected[f"{kind}_first_logits"])
    if f"gen_ids_{kind}" not in expected:
        return
    steps = expected[f"gen_ids_{kind}"].shape[1]
    ids, logits, positions, rows = greedy(case.model.backbone, prefix, steps, case.vocabulary)
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
        ours = positions if wanted.shape[-2] == case.rows else positions[..., -1:, :]
        result.equal(f"gen_position_ids_{kind}", ours, wanted)
    if f"gen_final_kv_len_{kind}" in expected:
        result.equal(f"gen_final_kv_len_{kind}", lengths(rows), expected[f"gen_final_kv_len_{kind}"])


def greedy(
    backbone: Backbone, prefix: Prefix, steps: int, vocabulary: int | None = None
) -> tuple[Tensor, Tensor, Tensor, Rows]:
    """Answer a finished prefix greedily, without repetition penalty and past stop tokens.

    Args:
        vocabulary: ids from here on are never chosen; None: all may be.

    Returns:
        ids (B, steps), logits (B, steps, vocabulary), positions (A, B, steps - 1) of the tokens that were fed back, and
        the rows with their caches.
    """
    decoding, logits, positions = begin([prefix]), [], []

    def choose(found: Tensor) -> Tensor:
        logits.append(found[:, :vocabulary])
        return logits[-1].argmax(-1)

    for _ in range(steps):
        decoding = step(backbone, decoding, choose)
        positions.append(decoding.rows.positions)
    return decoding.generated_ids, torch.stack(logits, 1), torch.cat(positions, -1)[..., 1:], decoding.rows


def _equal_positions(result: Result, name: str, prefix: Prefix, expected: Tensor) -> None:
    ours = prefix.positions
    if prefix.padding is not None and ours.shape == expected.shape:
        ours, expected = ours[..., prefix.padding], expected[..., prefix.padding]
    result.equal(name, ours, expected)


def _held(prefix: Prefix) -> list[int]:
    return [layer.get_seq_length() for layer in layers_of(prefix)[: prefix.depth]]
