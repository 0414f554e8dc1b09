"""Costs of a question that was never asked: a model's shape, an image size, a share of tokens and an answer length.

Nothing is counted here that `cost.py` does not count; this module only decides with which numbers it is called.
Arithmetic only, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glimpse_core.costs.cost import Costs, cost, decode_flops
from glimpse_core.costs.kv_cache import kv_bytes
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid

TEXT_TOKENS = 48  # prompt tokens that are not visual: a chat template and a short question


@dataclass(frozen=True)
class Projection:
    """Calculated costs of one question and its whole answer, with all visual tokens (`full`) and with the kept ones.

    Attributes:
        costs: of the prompt and of the first generated token, as `cost` counts them.
        answer_tokens: generated tokens. The first one comes out of the prefill, each further one costs a decoding step.
        full_answer, kept_answer: FLOPs of the prefill and of all decoding steps.
        full_end_bytes, kept_end_bytes: bytes of the KV cache when the last token is chosen.
    """

    costs: Costs
    answer_tokens: int
    full_answer: int
    kept_answer: int
    full_end_bytes: int
    kept_end_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: tokens, and a pair `full` and `kept` of each cost. Bytes and FLOPs are integers."""
        costs = self.costs
        return {
            "visual_tokens": costs.visual_tokens,
            "kept": costs.kept_tokens,
            "layers": costs.layers,
            "keep_layer": costs.keep_layer,
            "prompt_length": {"full": costs.prompt_length, "kept": costs.kept_length},
            "kv_bytes": {"full": costs.kv_bytes, "kept": costs.kept_kv_bytes},
            "end_kv_bytes": {"full": self.full_end_bytes, "kept": self.kept_end_bytes},
            "prefill": {"full": costs.full.prefill, "kept": costs.pruned.prefill},
            "decode": {"full": costs.full.decode, "kept": costs.pruned.decode},
            "answer": {"full": self.full_answer, "kept": self.kept_answer},
        }


def project(
    shape: Shape,
    grids: Sequence[Grid],
    kept_share: float,
    answer_tokens: int,
    keep_layer: int | None = None,
    *,
    text_tokens: int = TEXT_TOKENS,
    dtype: object = "bfloat16",
) -> Projection:
    """Return the calculated costs of a question about images of given token grids.

    Args:
        shape: the model, with the config of its glimpse modules.
        grids: token grid of each image.
        kept_share: share of the visual tokens that pruning keeps, from 0 to 1; rounded to whole tokens, at least one.
        answer_tokens: generated tokens, at least 1.
        keep_layer: tokens are dropped after this layer, from 0; None: that of the glimpse config.
        text_tokens: prompt tokens that are not visual.
        dtype: of the KV cache.

    Raises:
        GlimpseError: the share or the length is out of range, or `cost` refuses the numbers.
    """
    if not 0 <= kept_share <= 1:
        raise GlimpseError(f"kept_share is {kept_share}. Expected a number from 0 to 1.")
    if answer_tokens < 1:
        raise GlimpseError(f"answer_tokens is {answer_tokens}. Expected an integer from 1.")
    visual = sum(grid.tokens for grid in grids)
    kept = min(visual, max(1, round(kept_share * visual)))
    costs = cost(shape, visual + text_tokens, visual, kept, keep_layer, grids=grids, dtype=dtype)
    steps = answer_tokens - 1
    return Projection(
        costs=costs,
        answer_tokens=answer_tokens,
        full_answer=costs.full.prefill + decode_flops(shape, costs.prompt_length, steps),
        kept_answer=costs.pruned.prefill + decode_flops(shape, costs.kept_length, steps),
        full_end_bytes=kv_bytes(shape, costs.prompt_length + steps, dtype),
        kept_end_bytes=kv_bytes(shape, costs.kept_length + steps, dtype),
    )
