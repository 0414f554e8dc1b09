"""GlimpsePrune+ slowly: log-probabilities from whole sequences with one 4D mask per layer, the formula in numpy."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.models import adapter as adapters
from glimpse_core.training.plus.pruned import Question
from tests.support import oracle, tiny


def adapted(loaded, dtype: torch.dtype = torch.float32, std: float = 0.1, rank: int = 4):
    """A copy of the base model with a random adapter -> backbone, adapter. The loaded model stays as it is."""
    hf = copy.deepcopy(loaded.backbone.hf).to(dtype)
    backbone = type(loaded.backbone)(hf)
    adapter = adapters.create(backbone, adapters.LoraSizes(rank, 2 * rank, 0.0))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in adapter.parameters.values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)
    adapter.peft.to(dtype)
    if dtype == torch.float64:
        for module in hf.modules():
            if hasattr(module, "variance_epsilon"):
                module.forward = functools.partial(_norm, module)
    return backbone, adapter


def _norm(module: torch.nn.Module, hidden: Tensor) -> Tensor:
    """transformers' RMS norm goes through float32, whose rounding is larger than small differences."""
    return hidden * (hidden.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt() * module.weight


def question(loaded, backbone: Backbone, kept: str | float = 0.4, size=(112, 84)) -> Question:
    """A prompt about noise, with a random share of its tokens kept."""
    prompt = tiny.prompt(loaded, size)
    dtype = backbone.hf.dtype
    if prompt.pixel_values is not None:
        prompt = type(prompt)(**{**vars(prompt), "pixel_values": prompt.pixel_values.to(dtype)})
    (mask,) = tiny.random_masks(loaded, prompt, share=float(kept))
    with torch.no_grad():
        return Question(prompt, backbone.encode_images(prompt, ()), mask, depth=3)


@torch.no_grad()
def logprobs(backbone: Backbone, asked: Question, ids: Tensor, kept: Tensor, depth: int) -> Tensor:
    """(G, T): every answer in a whole sequence of its own, nothing shortened, no cache; depth: layers that see all."""
    rows = []
    prompt, hf = asked.prompt, backbone.hf
    length, count = prompt.input_ids.shape[1], ids.shape[1]
    for row in ids:
        whole = torch.cat([prompt.input_ids, row[None]], dim=1)
        positions = oracle._positions(hf, prompt)
        more = positions[..., -1:] + torch.arange(1, count + 1)
        masks = oracle._masks(prompt.attention_mask.bool(), kept, whole.shape[1], length, hf)
        if depth == 0:  # the prompt's own tokens do not see the dropped ones, either
            masks = (masks[1], masks[1])
        hooks = [
            layer.register_forward_pre_hook(
                oracle._with_mask({True: masks[0], False: masks[1]}, index < depth), with_kwargs=True
            )
            for index, layer in enumerate(hf.model.language_model.layers)
        ]
        try:
            embeds = hf.get_input_embeddings()(whole)
            visual = (whole == hf.config.image_token_id)[..., None]
            embeds = embeds.masked_scatter(visual, asked.vision.embeds.to(embeds))
            out = hf(inputs_embeds=embeds, position_ids=torch.cat([positions, more], -1), use_cache=False).logits
        finally:
            for hook in hooks:
                hook.remove()
        scores = out[0, length - 1 : -1].double().log_softmax(-1)
        rows.append(scores.gather(-1, row[:, None])[:, 0])
    return torch.stack(rows)


def policy(backbone: Backbone, asked: Question, ids: Tensor, mode: str) -> Tensor:
    """Log-probabilities (G, T) of the policy."""
    kept = backbone.keep_mask(asked.prompt, (asked.kept,))
    exact = logprobs(backbone, asked, ids, kept, asked.depth)
    if mode == "replay":
        return exact
    return torch.cat([exact[:, :1], logprobs(backbone, asked, ids, kept, 0)[:, 1:]], dim=1)


def reference(backbone: Backbone, asked: Question, ids: Tensor, mode: str) -> Tensor:
    """The same of the reference, whose first token comes after all tokens. The adapter must be off."""
    everything = torch.ones_like(asked.prompt.input_ids, dtype=torch.bool)
    first = logprobs(backbone, asked, ids, everything, backbone.layers)[:, :1]
    return torch.cat([first, policy(backbone, asked, ids, mode)[:, 1:]], dim=1)


def formula(policy_: Tensor, reference_: Tensor, rewards: list[float], lengths: list[int], weight: float = 0.04):
    """The published loss of one group, token by token -> loss, KL, advantages."""
    scores = np.asarray(rewards, dtype=np.float64)
    spread = np.sqrt(((scores - scores.mean()) ** 2).sum() / (len(scores) - 1))
    gains = (scores - scores.mean()) / (spread + 1e-4)
    loss = kl = 0.0
    for own, other, gain, length in zip(policy_.tolist(), reference_.tolist(), gains, lengths, strict=True):
        row = row_kl = 0.0
        for place in range(length):
            gap = other[place] - own[place]
            term = np.exp(gap) - gap - 1
            row += -1.0 * gain + weight * term
            row_kl += term
        loss += row / length / len(scores)
        kl += row_kl / length / len(scores)
    return loss, kl, gains
