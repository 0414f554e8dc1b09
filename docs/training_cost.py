"""FLOPs of one question in training, as `docs/training.md` states them. Calculated, not measured."""

from __future__ import annotations

from math import isqrt

from glimpse_core.bench.shapes import SHAPES
from glimpse_core.costs import flops
from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.types import Grid

TFLOPS = 0.4 * 312  # 40% of an A100's bfloat16 peak
IMAGE = (480, 640)  # pixels, rows and columns
SQUARE = Grid(24, 24)  # LLaVA-1.5's only input size
PROMPT = 45  # text tokens of the prompt
GROUP, LENGTH = 4, 32  # GlimpsePrune+: answers to a prompt, tokens of each
EVIDENCE = 0.08  # GlimpsePrune+: share of the visual tokens that is kept
PLUS_PROMPTS = 23_000  # GlimpsePrune+: 23 entries of 1,000 questions
ANSWER = 8  # positions with gradients: the glimpse token, and all answer tokens but the last


def shapes() -> dict[str, Shape]:
    """The published base models with their glimpse modules, by catalog name."""
    from transformers import AutoConfig

    published = {name: shape for name, shape in SHAPES.items() if name != "small"}
    return {
        name: Shape.from_config(AutoConfig.for_model(**shape.base), shape.glimpse) for name, shape in published.items()
    }


def _grid(shape: Shape) -> Grid:
    """The visual tokens of the image: 28 x 28 pixels each for Qwen2.5-VL, 32 x 32 for Qwen3-VL."""
    side = shape.vision.merge * isqrt(shape.vision.patch_values // 6)  # two frames of three colors
    return Grid(*(round(pixels / side) for pixels in IMAGE))


def question_flops(shape: Shape) -> int:
    """FLOPs of one question.

    Image and prompt run once without gradients. The glimpse token and the answer run forward and backward through all
    layers and the output matrix; a backward pass through frozen weights costs as much as the forward pass. The
    predictor's own weights are trained, so it counts three times.
    """
    text, grid = shape.text, _grid(shape) if shape.vision.image_tokens is None else SQUARE
    prompt = PROMPT + grid.tokens
    costs = cost(shape, prompt, grid.tokens, grid.tokens, grids=[grid])
    answer = text.layers * flops.decoder_layer(text, ANSWER, ANSWER * (prompt + ANSWER))
    return (
        costs.full.vision
        + costs.full.decoder_prefill
        + 3 * costs.pruned.glimpse_vip
        + 2 * (answer + ANSWER * flops.output_matrix(text))
    )


def plus_flops(shape: Shape, kept_share: float, recompute: bool = False) -> int:
    """FLOPs of one prompt of GlimpsePrune+: rollouts, reference, and the policy's forward and backward pass.

    The prompt runs three times, pruned after layer K: for the rollouts, for the reference (there unpruned as well, from
    layer K on), and for the policy, whose backward pass through frozen weights costs as much as its forward pass once
    more. The answers run as often. The adapter's own products, below 3% of a layer's, are left out.

    Args:
        shape: with glimpse modules, which give K.
        kept_share: of the visual tokens; 1 prunes nothing.
        recompute: whether layers run again in the backward pass.
    """
    text, grid = shape.text, _grid(shape) if shape.vision.image_tokens is None else SQUARE
    assert shape.glimpse is not None
    depth, prompt = shape.glimpse.keep_layer + 1, PROMPT + grid.tokens
    kept = PROMPT + int(kept_share * grid.tokens)
    costs = cost(shape, prompt, grid.tokens, grid.tokens, grids=[grid])

    def layers(count: int, tokens: int, before: int) -> int:
        return count * flops.decoder_layer(text, tokens, tokens * before + tokens * (tokens + 1) // 2)

    shared, rest = layers(depth, prompt, 0), layers(text.layers - depth, kept, 0)
    answers = GROUP * (layers(text.layers, LENGTH, kept) + LENGTH * flops.output_matrix(text))
    whole = 0 if kept == prompt else layers(text.layers - depth, prompt, 0)  # the reference's first token
    once = shared + rest + answers
    return costs.full.vision + once + (once + whole) + (3 if recompute else 2) * once
