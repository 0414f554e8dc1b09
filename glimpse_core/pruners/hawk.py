"""HAWK: keep what the question's words ask for in the first layer, by heads that matter more or less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.attention import peek
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import BeforeDecoder
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import Positions, PruningState, advance, drop, per_row

# (model type, decoder layers, heads) -> how much each head matters, as the authors measured it by leaving heads out.
PUBLISHED = {
    ("qwen2_5_vl", 28, 28): (  # Qwen2.5-VL-7B
        0.0875, 0.3000, 0.0480, 0.0321, 0.0104, 0.0102, 0.0336, 0.0460, 0.0540, 0.0472, 0.0234, 0.0537, 0.0109, 0.0573,
        0.0276, 0.0403, 0.0429, 0.0352, 0.0162, 0.0519, 0.0553, 0.0266, 0.0222, 0.0480, 0.0337, 0.0250, 0.0000, 0.0224,
    ),
}  # fmt: skip


def asking(state: PruningState) -> Tensor:
    """The tokens whose queries count: the words of the question, or the last token of a row without any.

    Returns:
        (B, S) float32 weights, equal for all words of a row, that add up to 1 in every row.
    """
    backbone, prompt = state.model.backbone, state.prompt
    before = prompt.attention_mask.bool() & ~backbone.visual(prompt)  # no method drops text
    now = ~state.visual if state.prefix.padding is None else state.prefix.padding & ~state.visual
    words = torch.zeros_like(state.visual).masked_scatter(now, backbone.question(prompt)[before])
    words[:, -1] |= ~words.any(1)
    return words / words.sum(1, keepdim=True)


def weighed(logits: Tensor, weights: Tensor) -> Tensor:
    """Add up heads, each scaled to length 1 over the visual tokens.

    Args:
        logits: (n, H), of every visual token in every head.
        weights: (H,).

    Returns:
        (n,) float32.
    """
    return (functional.normalize(logits.float(), dim=0) @ weights.to(logits.device)[:, None])[:, 0]


@dataclass(frozen=True)
class HawkPruner(BeforeDecoder):
    """HAWK: keep the visual tokens that the question's words ask for, heads weighed by how much they matter for images.

    The first layer's queries and keys are computed without positions. In each head, the products of the question's
    words with a visual token are averaged; a head's averages are scaled to length 1 over the visual tokens (equations
    4 to 7 of the paper); heads are added up by fixed weights. Tokens are dropped before the first layer.

    From the authors' code: the scaling is the L2 norm, the words are those after the last image up to the end of the
    turn, positions stay, and the weights of Qwen2.5-VL-7B, the only ones that are published. Our choices: every other
    model has equal weights, which is not the paper's method in full; the last token asks where a row has no words; in
    LLaVA the cue for the answer is no word; queries and keys are normalized where the layer does so (Qwen3-VL).

    "HAWK: Head Importance-Aware Visual Token Pruning in Multimodal Models", CVPR 2026:
    https://arxiv.org/abs/2604.07812, code: https://github.com/peppery77/HAWK

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.198, as published.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        head_weights: one number of at least 0 per head; their sum does not matter. Default None: the published ones for
            Qwen2.5-VL-7B, equal ones for all other models.
        positions: "original" (default, as published), "published" or "renumbered"; see `state.drop`.
    """

    ratio: float = 0.198
    head_weights: tuple[float, ...] | None = None
    positions: Positions = "original"

    card: ClassVar[Card] = Card("HAWK", "before the decoder", "CVPR 2026, arXiv 2604.07812", question=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        heads, given = self.model.backbone.heads, self.head_weights
        if given is not None and (len(given) != heads or not all(weight >= 0 for weight in given) or not sum(given)):
            raise GlimpseError(
                f"head_weights is {given!r}. Expected one number of at least 0 for each of the {heads} heads, some of "
                "them above 0."
            )

    @property
    def weights(self) -> Tensor:
        """(H,) float32, adding up to 1: what each head counts."""
        backbone = self.model.backbone
        known = PUBLISHED.get((str(backbone.hf.config.model_type), backbone.layers, backbone.heads))
        weights = torch.tensor(self.head_weights or known or (1.0,) * backbone.heads)
        return weights / weights.sum()

    def shorten(self, state: PruningState) -> PruningState:
        state = advance(state, 0)  # refuses a state in which layers have run
        logits = peek(self.model.backbone.text, state.prefix, rope=False, weights=asking(state))
        rows = zip(per_row(state, logits.transpose(1, 2)), self.budgets(state), strict=True)
        kept = [top_mask(weighed(own, self.weights), budget) for own, budget in rows]
        return drop(state, kept, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Queries, keys and values of all tokens, as the layer projects them; the words' mean query; one row."""
        text = shape.text
        queries, keys = text.heads * text.head_width, text.kv_heads * text.head_width
        projections = flops.matmul(prompt_length, text.width, queries + 2 * keys)
        return projections + 2 * flops.matmul(1, queries, prompt_length) + flops.matmul(total, text.heads, 1)
