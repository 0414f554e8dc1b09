"""What a finished branch has cost, as shares of the unpruned run. Read from the branch, whatever was pruned where.

N visual tokens. A layer's visual tokens are all it had minus the text, so merged and pooled tokens count like others.
"""

from __future__ import annotations

from dataclasses import dataclass

from glimpse_core import flops
from glimpse_core.evaluation.greedy import lengths
from glimpse_core.shape import Shape
from glimpse_core.types import Prefix


@dataclass(frozen=True)
class Spent:
    """kept: visual tokens that the last layer reads. kv: share of the visual tokens in the caches while answering, mean
    over layers. prefill: share that the layers read before the first token, mean over layers. flops: of the decoder's
    prefill, text, glimpse token and predictor included, vision tower and other selectors not, over the unpruned one.
    """

    kept: int
    kv: float
    prefill: float
    flops: float


def spent(shape: Shape, branch: Prefix, prompt_length: int, visual: int, scored: bool) -> Spent:
    """branch: finished (B = 1). scored: whether glimpse and predictor have run."""
    text, layers = prompt_length - visual, len(branch.ran)
    held = [length - text for length in lengths(branch)]
    read = [min(length - text, visual) for length in branch.ran]  # a glimpse token is none of them
    work = sum(flops.decoder_layer(shape.text, length, length * length) for length in branch.ran)
    if scored:
        work += flops.glimpse_and_vip(shape, branch.ran[0], read[0], None)
    whole = layers * flops.decoder_layer(shape.text, prompt_length, prompt_length * prompt_length)
    return Spent(
        kept=read[-1],
        kv=round(sum(held) / (layers * visual), 6),
        prefill=round(sum(read) / (layers * visual), 6),
        flops=round(work / whole, 6),
    )
