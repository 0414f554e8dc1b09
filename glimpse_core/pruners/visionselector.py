"""VisionSelector: keep what a small trained scorer finds important, whatever the question is."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import BeforeDecoder
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import Positions, PruningState, drop, embeds_per_row

PREFIX = "importance_scorer."  # in the names of the published folders, after the vision tower's
PARTS = {"query": "q_proj.weight", "query_bias": "q_proj.bias", "key": "k_proj.weight", "key_bias": "k_proj.bias"}


@dataclass(frozen=True, eq=False)
class Scorer:
    """The trained part: two projections. S is half of the decoder's width in the published ones.

    Attributes:
        query, key: (S, C) float32.
        query_bias, key_bias: (S,) float32.
    """

    query: Tensor
    query_bias: Tensor
    key: Tensor
    key_bias: Tensor

    @classmethod
    @functools.cache
    def load(cls, folder: str, device: torch.device) -> Scorer:
        """Load the scorer of a published folder, once per folder and device, and nothing else of it.

        Args:
            folder: with `model.safetensors`, or with several files and `model.safetensors.index.json`, of which the
                one with the scorer is enough.
            device: for the scorer.

        Raises:
            GlimpseError: the folder has no scorer, or not all of it.
        """
        try:
            found = _named(Path(folder), PREFIX)
            tensors = {name: found[part].to(device, torch.float32) for name, part in PARTS.items()}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise GlimpseError(
                f"{folder} was given as VisionSelector's weights, but cannot be used ({error}). Expected a downloaded "
                f"folder with safetensors that hold ...{PREFIX}q_proj and k_proj, weight and bias, such as "
                "JulietChoo/VisionSelector-Qwen2.5-VL-7B."
            ) from error
        return cls(**tensors)

    def score(self, tokens: Tensor) -> Tensor:
        """Score tokens (n, C). Returns (n,) float32: mean over all tokens j of q_i·k_j / sqrt(S).

        The mean over j goes into the key first, and the projection of the query after it, which is the same number
        without a matrix of all pairs.
        """
        rows = tokens.float()
        if rows.shape[-1] != self.query.shape[1]:
            raise GlimpseError(
                f"VisionSelector's scorer reads tokens of width {self.query.shape[1]}. Expected the model's, "
                f"{rows.shape[-1]}: choose the weights that were trained for this model."
            )
        if not len(rows):
            return rows.new_zeros(0)
        key = functional.linear(rows.mean(0, keepdim=True), self.key, self.key_bias)  # (1, S)
        scores: Tensor = rows @ (key @ self.query).T + key @ self.query_bias[:, None]
        return scores[:, 0] / math.sqrt(len(self.query))


def _named(folder: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors of a folder of safetensors whose names have `prefix` in them, by what follows it."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = json.loads(index.read_text())["weight_map"]
        files = sorted({folder / file for name, file in names.items() if prefix in name})
    else:
        files = sorted(folder.glob("*.safetensors"))
    found: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt") as content:
            names = [name for name in content.keys() if prefix in name]  # noqa: SIM118
            found |= {name.partition(prefix)[2]: content.get_tensor(name) for name in names}
    return found


@dataclass(frozen=True)
class VisionSelectorPruner(BeforeDecoder):
    """VisionSelector: keep the visual tokens that a trained scorer ranks highest, whatever the question is.

    A query and a key of every visual token are projected from what enters the decoder; a token's score is the mean of
    its query's products with all keys. Tokens are dropped before the first layer and keep their positions. The scorer
    was trained end to end, with a soft top-k, on the frozen base model.

    Rule, budgets (one scorer for all) and no merging are the paper's; the names of the weights and the missing RoPE are
    the authors' code's. Our choices: the images of a row are scored together, as the authors do with one row; scores
    are float32; with DeepStack (Qwen3-VL), features still to be added are not read. Weights are published for
    Qwen2.5-VL-3B and 7B; other models of this package need some that were trained for them, of their width.

    "VisionSelector: End-to-End Learnable Visual Token Compression for Efficient Multimodal LLMs":
    https://arxiv.org/abs/2510.16598, code: https://github.com/JulietChoo/VisionSelector

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.2, as trained.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        weights: the scorer, or the published folder that has it, downloaded. Needed to prune, not to calculate costs.
        positions: "original" (default, as published), "published" or "renumbered"; see `state.drop`.
    """

    ratio: float = 0.2
    weights: Scorer | str | None = None
    positions: Positions = "original"

    card: ClassVar[Card] = Card("VisionSelector", "before the decoder", "arXiv 2510.16598", needs=("weights",))

    def scorer(self) -> Scorer:
        """The scorer. Raises GlimpseError where `weights` says none."""
        if self.weights is None:
            raise GlimpseError(
                "VisionSelector was given no weights, and it is trained. Expected weights=FOLDER, such as a download "
                "of JulietChoo/VisionSelector-Qwen2.5-VL-7B (in evaluate: visionselector:FOLDER)."
            )
        return Scorer.load(self.weights, self.model.device) if isinstance(self.weights, str) else self.weights

    def shorten(self, state: PruningState) -> PruningState:
        scorer = self.scorer()
        rows = zip(embeds_per_row(state), self.budgets(state), strict=True)
        kept = [top_mask(scorer.score(own), budget) for own, budget in rows]
        return drop(state, kept, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """The mean key, the query's projection after it, and one product per token; S is half of the width."""
        width = shape.text.width
        size = width // 2 if not isinstance(self.weights, Scorer) else len(self.weights.query)
        return 2 * flops.matmul(1, width, size) + flops.matmul(1, size, 1) + flops.matmul(total, width, 1)
