"""Costs of a question with and without pruning: tokens, FLOPs by stage and KV-cache bytes. Arithmetic only, no torch.

Conventions, so that every figure can be checked:

* One multiply-add is 2 FLOPs. Counted are matrix products (linear layers, the patch embedding, the glimpse
  projection) and the two products of attention; not counted are norms, activations, softmax, rotary embedding,
  residuals, biases, sampling.
* Attention is counted in "full" by default: L * L pairs per layer, masked pairs included. That is what torch's
  FlopCounterMode counts and what the paper's table counts. "causal" counts the L(L+1)/2 pairs that a kernel which
  skips masked blocks has to compute. The vision tower and the VIP are not causal and stay as they are.
* Batch of one prompt. Query heads are counted each, also where several share a key/value head.
* Only the last prompt token goes through the output matrix (`lm_head`), as in generation. `decode` is one generated
  token: the first one after the prompt, through all layers and the output matrix.
* `trunk` is layers 0..K, with the glimpse token among the tokens when pruning; `glimpse_vip` is the projection of the
  glimpse vectors, the attention row that is read, and the VIP; `branch` is the layers after K. The unpruned column
  is a plain run without a glimpse token.
* `decoder_prefill` = trunk + glimpse_vip + branch, without the vision tower and without the output matrix. This is
  the definition behind the published 69% (Qwen2.5-VL-7B, about 5,050 visual tokens, 4% of the tokens kept, K = 18):
  the vision tower costs the same either way, and including it, as `prefill` does, gives 79% there.

KV-cache bytes are those held while answering: keys and values of every layer, of every prompt token that is left.
Pruning takes the dropped tokens out of the layers already run too, so all layers shrink alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from glimpse_core.costs import flops
from glimpse_core.costs.flops import Attention, GlimpseFlops, prefill_layer
from glimpse_core.costs.kv_cache import kv_bytes
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid

__all__ = ["Costs", "Flops", "LayerTokens", "Shape", "cost", "decode_flops"]


@dataclass(frozen=True)
class Flops:
    """FLOPs by stage, by the conventions of this module. `decode` is per generated token and in no sum."""

    vision: int
    trunk: int
    glimpse_vip: int
    branch: int
    lm_head: int
    decode: int

    @property
    def decoder_prefill(self) -> int:
        """FLOPs of the prefill in the decoder, scoring included."""
        return self.trunk + self.glimpse_vip + self.branch

    @property
    def prefill(self) -> int:
        """FLOPs of everything up to the first token's logits."""
        return self.vision + self.decoder_prefill + self.lm_head


@dataclass(frozen=True)
class LayerTokens:
    """Number of tokens in the prefill of one decoder layer, with and without pruning."""

    layer: int
    full: int  # tokens that it runs on without pruning
    pruned: int  # with pruning, the glimpse token included in layers 0..K
    visual_full: int  # the visual ones among `full`
    visual_pruned: int  # the visual ones among `pruned`
    cached: int  # tokens of the prompt that its cache holds while answering, with pruning


@dataclass(frozen=True)
class Costs:
    """Costs of one question, unpruned (`full`) and pruned. Lengths are in tokens, without generated ones."""

    layers: int
    keep_layer: int
    glimpse_tokens: int
    visual_tokens: int
    kept_tokens: int
    prompt_length: int
    kept_length: int
    kv_bytes: int
    kept_kv_bytes: int
    attention: Attention
    full: Flops
    pruned: Flops

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: before/after/share triples, FLOPs by stage for both runs, and the shares left."""
        runs = {
            name: asdict(run) | {"decoder_prefill": run.decoder_prefill, "prefill": run.prefill}
            for name, run in (("full", self.full), ("pruned", self.pruned))
        }
        return {
            "layers": self.layers,
            "keep_layer": self.keep_layer,
            "glimpse_tokens": self.glimpse_tokens,
            "visual_tokens": _change(self.visual_tokens, self.kept_tokens),
            "prompt_length": _change(self.prompt_length, self.kept_length),
            "kv_bytes": _change(self.kv_bytes, self.kept_kv_bytes),
            "flops": runs
            | {
                "share": {
                    stage: runs["pruned"][stage] / runs["full"][stage]
                    for stage in ("decoder_prefill", "prefill", "decode")
                },
                "attention": self.attention,
            },
        }

    def tokens_per_layer(self) -> Iterator[LayerTokens]:
        """Yield the tokens of each decoder layer, with and without pruning: the data of the step figure."""
        for layer in range(self.layers):
            early = layer <= self.keep_layer
            yield LayerTokens(
                layer=layer,
                full=self.prompt_length,
                pruned=self.prompt_length + self.glimpse_tokens if early else self.kept_length,
                visual_full=self.visual_tokens,
                visual_pruned=self.visual_tokens if early else self.kept_tokens,
                cached=self.kept_length,
            )


def _change(before: int, after: int) -> dict[str, int | float]:
    return {"before": before, "after": after, "share": after / before if before else 1.0}


def cost(
    shape: Shape,
    prompt_length: int,
    visual_tokens: int,
    kept_tokens: int,
    keep_layer: int | None = None,
    *,
    grids: Iterable[Grid] | None = None,
    dtype: object = "bfloat16",
    attention: Attention = "full",
    glimpse: bool = True,
    selector: int = 0,
) -> Costs:
    """Return the costs of one question.

    Args:
        shape: the model; `Shape.from_config(config, glimpse_config)`.
        prompt_length: prompt tokens, visual ones included, without the glimpse token.
        visual_tokens, kept_tokens: of all images together, before and after pruning.
        keep_layer: tokens are dropped after this 0-based layer; -1 drops them before the decoder; too deep a
            layer means the last one. None: that of the glimpse config.
        grids: one per image, for exact attention windows in the vision tower. None: one image in whole windows.
        dtype: of the KV cache, a name such as "bfloat16" or a torch dtype.
        attention: count masked pairs ("full") or not ("causal").
        glimpse: False for pruners that need neither glimpse token nor VIP (random, grid, a painted mask).
        selector: FLOPs of choosing tokens in their place, such as an attention row.

    Raises:
        GlimpseError: numbers contradict each other, or an option is unknown.
    """
    if attention not in ("full", "causal"):
        raise GlimpseError(f'attention is {attention!r}. Expected "full" or "causal".')
    keep_layer = _known_layer(shape, keep_layer)
    sizes = None if grids is None else [(grid.rows, grid.cols) for grid in grids]
    _check(prompt_length, visual_tokens, kept_tokens, keep_layer, sizes)

    kept_length = prompt_length - visual_tokens + kept_tokens
    before = keep_layer + 1
    look = GlimpseFlops(rows=selector)
    if glimpse:
        look = flops.glimpse(shape, prompt_length, visual_tokens, before, sizes, attention)
    vision = flops.vision_tower(shape.vision, visual_tokens, sizes)
    return Costs(
        layers=shape.text.layers,
        keep_layer=keep_layer,
        glimpse_tokens=shape.glimpse.glimpse_length if shape.glimpse and glimpse and look.total else 0,
        visual_tokens=visual_tokens,
        kept_tokens=kept_tokens,
        prompt_length=prompt_length,
        kept_length=kept_length,
        kv_bytes=kv_bytes(shape, prompt_length, dtype),
        kept_kv_bytes=kv_bytes(shape, kept_length, dtype),
        attention=attention,
        full=_run(shape, before, prompt_length, prompt_length, vision, GlimpseFlops(), attention),
        pruned=_run(shape, before, prompt_length, kept_length, vision, look, attention),
    )


def _run(
    shape: Shape, before: int, length: int, kept_length: int, vision: int, look: GlimpseFlops, attention: Attention
) -> Flops:
    """Return the FLOPs of a run with `length` tokens in the first `before` layers and `kept_length` in the others."""
    text = shape.text
    return Flops(
        vision=vision,
        trunk=before * prefill_layer(text, length, attention) + look.token,
        glimpse_vip=look.total - look.token,
        branch=(text.layers - before) * prefill_layer(text, kept_length, attention),
        lm_head=flops.output_matrix(text),
        decode=decode_flops(shape, kept_length),
    )


def _known_layer(shape: Shape, keep_layer: int | None) -> int:
    """Return the layer after which tokens are dropped, at most the last; the glimpse config's if none is given."""
    if keep_layer is None:
        if shape.glimpse is None:
            raise GlimpseError("No keep_layer was given. Expected one, or a shape with a glimpse config: give either.")
        keep_layer = shape.glimpse.keep_layer
    return min(keep_layer, shape.text.layers - 1)


def _check(
    prompt_length: int, visual_tokens: int, kept_tokens: int, keep_layer: int, sizes: list[tuple[int, int]] | None
) -> None:
    given = f"prompt_length {prompt_length}, visual_tokens {visual_tokens}, kept_tokens {kept_tokens}"
    if not 0 <= kept_tokens <= visual_tokens < prompt_length:
        raise GlimpseError(
            f"{given} were given. Expected 0 <= kept <= visual < prompt_length, where the prompt counts all its tokens."
        )
    if keep_layer < -1:
        raise GlimpseError(f"keep_layer is {keep_layer}. Expected -1 (before the decoder) or a layer number from 0.")
    if sizes is not None and sum(rows * cols for rows, cols in sizes) != visual_tokens:
        given = ", ".join(f"{rows} x {cols}" for rows, cols in sizes) or "none"
        raise GlimpseError(
            f"The grids {given} were given. Expected {visual_tokens} visual tokens in all: give one grid per image."
        )


def decode_flops(shape: Shape, cache_length: int, tokens: int = 1) -> int:
    """Return the FLOPs of generating tokens one by one.

    Args:
        shape: the model.
        cache_length: tokens in the cache before the first one; each new token attends to these and to itself.
        tokens: number of tokens to generate.
    """
    text = shape.text
    contexts = range(cache_length + 1, cache_length + tokens + 1)
    return sum(text.layers * flops.decoder_layer(text, 1, keys) + flops.output_matrix(text) for keys in contexts)
