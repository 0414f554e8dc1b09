"""Golden cases of the training stage: losses and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.glimpse.token import append
from glimpse_core.models.checkpoint import published_name
from glimpse_core.parity.case import Case
from glimpse_core.parity.result import Result
from glimpse_core.training.glimpse.forward import losses, supervised
from glimpse_core.training.losses import LossWeights


def compare_training(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """Run the supervised forward and backward pass of a case and compare what it expects."""
    model, references = case.model, case.references
    assert case.labels is not None and references is not None  # all training cases have them
    modules = nn.ModuleDict({"glimpse": model.glimpse, "vip": model.vip})
    modules.train(case.settings.get("train_mode", True)).requires_grad_(True)
    out = supervised(model, case.prompt, case.labels)
    out = replace(out, logits=out.logits[..., : case.vocabulary])
    given = case.settings.get("loss_weights", {})
    weights = LossWeights(
        answer=given.get("le_weight", 1.0),
        mask=given.get("loc_weight", 1.0),
        dice=given.get("dice_weight", 1.0),
        bce=given.get("bce_weight", 0.1),
        epsilon=given.get("epsilon", 1e-6),
    )
    _compare_references(case, expected, result)
    parts = losses(out, references, weights)
    for name, ours in (
        ("attn_map", out.attention),
        ("le_loss", parts.answer),
        ("dice_loss_per_layer", torch.stack(parts.parts.dice)),
        ("bce_loss_per_layer", torch.stack(parts.parts.bce)),
        ("loc_loss", parts.location),
        ("total_loss", parts.total),
        *((f"mask_logits_{row}", logits) for row, logits in enumerate(out.masks)),
    ):
        if name in expected:
            result.close(name, ours, expected[name])
    _compare_positions(case, expected, result)
    if case.grads is not None:
        parts.total.backward()
        _compare_gradients(case.grads, modules, result)


def _compare_references(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The target masks, from the boxes, where a sample has one image."""
    grids = case.model.backbone.grids_per_row(case.prompt)
    rows = case.settings.get("boxes", [])
    if rows and not isinstance(rows[0][0], list):  # LLaVA's cases have one row and leave out its list
        rows = [rows]
    for row, boxes in enumerate(rows):
        if len(grids[row]) == 1 and f"ref_mask_{row}" in expected:
            result.equal(f"ref_mask_{row}", box_mask(boxes, grids[row][0]), expected[f"ref_mask_{row}"].flatten())


def _compare_positions(case: Case, expected: Mapping[str, Tensor], result: Result) -> None:
    """The ids with the glimpse rows in them: those of the prompt, extended at the end."""
    if "glimpse_position_ids" not in expected:
        return
    backbone, config = case.model.backbone, case.model.config
    start = backbone.start(case.prompt, backbone.encode_images(case.prompt))
    whole = append(start, case.model.glimpse()[config.glimpse_layers.index(0)])
    ours, published = whole.positions, expected["glimpse_position_ids"]
    if whole.padding is not None:
        ours, published = ours[..., whole.padding], published[..., whole.padding]
    result.equal("glimpse_position_ids", ours, published)


def _compare_gradients(expected: Mapping[str, Tensor], modules: nn.Module, result: Result) -> None:
    ours = {published_name(name): parameter.grad for name, parameter in modules.named_parameters()}
    missing = [name for name, gradient in ours.items() if gradient is not None and name not in expected]
    result.equal("gradients that nothing was expected for", len(missing), 0)
    for name, published in expected.items():
        gradient = ours.get(name)
        if gradient is None:
            gradient = torch.zeros_like(published)
        result.close(f"grad {name}", gradient, published, floor=1e-4)
