"""Pruned decoding, slowly: no cache, nothing shortened, one 4D mask per layer, the whole sequence for every token.

Uses the stock model's forward pass and nothing of the engine. Dropped tokens stay in the sequence; layers behind K
cannot see them, and neither can generated tokens in any layer, since the caches of the first layers are pruned as
well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.types import Prompt

Choose = Callable[[Tensor], Tensor]  # logits (B, vocabulary) -> token ids (B, 1)


def best(logits: Tensor) -> Tensor:
    return logits.argmax(-1, keepdim=True)


@torch.no_grad()
def beams(hf: torch.nn.Module, prompt: Prompt, kept: Tensor, depth: int, steps: int, width: int) -> Tensor:
    """(width, steps): the most probable answers of one row that a beam search without a stop token ends with."""
    found: list[tuple[float, list[int]]] = [(0.0, [])]
    for step in range(steps):
        longer = []
        for score, tokens in found:
            said = iter([*tokens, 0])  # what is chosen last does not matter
            _, logits = answer(hf, prompt, kept, depth, step + 1, lambda _, said=said: torch.tensor([[next(said)]]))
            chances, ids = logits[0, -1].log_softmax(-1).topk(width)
            longer += [(score + c, [*tokens, i]) for c, i in zip(chances.tolist(), ids.tolist(), strict=True)]
        found = sorted(longer, reverse=True)[:width]
    return torch.tensor([tokens for _, tokens in found])


@torch.no_grad()
def answer(
    hf: torch.nn.Module, prompt: Prompt, kept: Tensor, depth: int, steps: int, choose: Choose = best
) -> tuple[Tensor, Tensor]:
    """kept (B, L) bool; depth: layers that see everything. -> ids (B, steps), logits (B, steps, vocabulary)."""
    ids, real = prompt.input_ids, prompt.attention_mask.bool()
    length, layers = ids.shape[1], hf.model.language_model.layers
    positions = _positions(hf, prompt)
    sizes = () if prompt.image_grid_thw is None else (prompt.image_grid_thw,)
    seen = hf.model.get_image_features(prompt.pixel_values, *sizes, return_dict=True)
    pictures = torch.cat(list(seen.pooler_output))
    features = added(hf, seen, ids == hf.config.image_token_id)
    masks: dict[bool, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(_with_mask(masks, index < depth), with_kwargs=True)
        for index, layer in enumerate(layers)
    ]
    tokens, logits = [], []
    try:
        for _ in range(steps):
            masks[True], masks[False] = _masks(real, kept, ids.shape[1], length, hf)
            embeds = hf.get_input_embeddings()(ids)
            embeds = embeds.masked_scatter((ids == hf.config.image_token_id)[..., None], pictures)
            with adding(hf, features):
                out = hf(inputs_embeds=embeds, position_ids=positions, use_cache=False)
            logits.append(out.logits[:, -1])
            tokens.append(choose(logits[-1]))
            ids = torch.cat([ids, tokens[-1]], dim=1)
            positions = torch.cat([positions, positions[..., -1:] + 1], dim=-1)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(tokens, 1), torch.stack(logits, 1)


@torch.no_grad()
def forced(hf: torch.nn.Module, ids: Tensor, pictures: Tensor, kept: Tensor, depth: int, answering: int) -> Tensor:
    """Logits (1, L, vocabulary) of a whole prompt with its answer, whose last `answering` tokens are answer tokens.

    ids (1, L); pictures (N, C); kept (1, L) bool over everything.
    """
    length = ids.shape[1] - answering
    shallow, deep = _masks(torch.ones_like(kept[:, :length]), kept[:, :length], ids.shape[1], length, hf)
    hooks = [
        layer.register_forward_pre_hook(_with_mask({True: shallow, False: deep}, index < depth), with_kwargs=True)
        for index, layer in enumerate(hf.model.language_model.layers)
    ]
    side = math.isqrt(len(pictures))
    image = (ids == hf.config.image_token_id).int()
    positions, _ = hf.model.get_rope_index(ids, image, torch.tensor([[1, 2 * side, 2 * side]]))
    embeds = hf.get_input_embeddings()(ids).masked_scatter(image.bool()[..., None], pictures)
    try:
        return hf(inputs_embeds=embeds, position_ids=positions, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()


def added(hf: torch.nn.Module, seen, visual: Tensor) -> list[Tensor]:
    """DeepStack: what is added to the output of layers 0, 1, ... at the visual places (B, L), zeros elsewhere."""
    nothing = torch.zeros(*visual.shape, hf.config.text_config.hidden_size)
    features = [torch.cat(list(images)) for images in getattr(seen, "deepstack_features", None) or ()]
    return [nothing.masked_scatter(visual[..., None], feature) for feature in features]


@contextmanager
def adding(hf: torch.nn.Module, features: Sequence[Tensor]) -> Iterator[None]:
    """Feature i (B, L, C) is added to what layer i + 1 is given; tokens that follow the prompt get nothing."""

    def add(feature: Tensor):
        def hook(module, args, kwargs):
            more = args[0].shape[1] - feature.shape[1]
            return (args[0] + functional.pad(feature, (0, 0, 0, more)), *args[1:]), kwargs

        return hook

    pairs = zip(features, hf.model.language_model.layers[1:], strict=False)
    hooks = [layer.register_forward_pre_hook(add(feature), with_kwargs=True) for feature, layer in pairs]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _positions(hf: torch.nn.Module, prompt: Prompt) -> Tensor:
    """(3, B, L) for Qwen, (B, L) for LLaVA."""
    if not hasattr(hf.model, "get_rope_index"):
        return (prompt.attention_mask.cumsum(1) - 1).clamp(min=0)
    mask = {"attention_mask": prompt.attention_mask}
    return hf.model.get_rope_index(prompt.input_ids, prompt.mm_token_type_ids, prompt.image_grid_thw, **mask)[0]


def _with_mask(masks: dict[bool, Tensor], shallow: bool):
    return lambda module, args, kwargs: (args, kwargs | {"attention_mask": masks[shallow]})


def _masks(real: Tensor, kept: Tensor, total: int, length: int, hf: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """Of the layers that see everything and of the others, (B, 1, total, total), in the form sdpa or eager wants."""
    rows = len(real)
    causal = torch.ones(total, total, dtype=torch.bool).tril()
    everything = torch.cat([real, real.new_ones(rows, total - length)], dim=1)
    some = torch.cat([kept & real, real.new_ones(rows, total - length)], dim=1)
    asks_in_prompt = (torch.arange(total) < length)[None, :, None]
    itself = torch.eye(total, dtype=torch.bool)  # a row that sees nothing would be undefined
    shallow = causal & torch.where(asks_in_prompt, everything[:, None], some[:, None]) | itself
    deep = causal & some[:, None] | itself
    if "eager" in hf.model.language_model.config._attn_implementation:
        low = torch.finfo(hf.dtype).min
        return tuple(torch.where(mask, 0.0, low).to(hf.dtype)[:, None] for mask in (shallow, deep))
    return shallow[:, None], deep[:, None]
