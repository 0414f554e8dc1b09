"""Prompts that lose tokens layer by layer, slowly: the whole sequence for every token, one mask per layer, no cache.

One row. Uses the stock model's forward pass and nothing of the engine; attention rows are computed from the formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.types import Prompt
from tests.support.oracle import _positions, added, adding


@dataclass(frozen=True)
class Stage:
    """Before layer `depth` only the prompt's tokens `kept` (L,) bool go on."""

    depth: int
    kept: Tensor
    cache: str = "pruned"
    positions: str = "original"


class Slow:
    def __init__(self, model, prompt: Prompt, embeds: Tensor | None = None) -> None:
        """embeds: (L, C + F * C) what enters the decoder, as `carried` has it; None: the stock model's."""
        self.hf, self.prompt = model.backbone.hf, prompt
        self.text = self.hf.model.language_model
        self.positions = _positions(self.hf, prompt)
        self.visual = prompt.input_ids[0] == self.hf.config.image_token_id
        self.features: list[Tensor] = []
        self.embeds = self.stock_embeds()
        if embeds is not None:
            self.embeds, *features = embeds.split(self.embeds.shape[-1], dim=-1)
            self.features = [feature[None] for feature in features]

    @property
    def carried(self) -> Tensor:
        """(L, C + F * C): what enters the decoder, and beside it what DeepStack adds later."""
        return torch.cat([self.embeds, *(feature[0] for feature in self.features)], dim=-1)

    @torch.no_grad()
    def stock_embeds(self) -> Tensor:
        prompt = self.prompt
        sizes = () if prompt.image_grid_thw is None else (prompt.image_grid_thw,)
        out = self.hf.model.get_image_features(prompt.pixel_values, *sizes, return_dict=True)
        embeds = self.hf.get_input_embeddings()(prompt.input_ids)[0].clone()
        embeds[self.visual] = torch.cat(list(out.pooler_output))
        self.features = added(self.hf, out, self.visual[None])
        return embeds

    def places(self, stages: list[Stage], layer: int) -> Tensor:
        """(A, 1, L) or (1, L): positions of the prompt's tokens in a layer; those of dropped tokens mean nothing."""
        positions = self.positions
        for stage in stages:
            if stage.positions == "renumbered" and (stage.depth <= layer):
                positions = (stage.kept.cumsum(0) - 1).clamp(min=0).expand_as(positions)
        return positions

    def alive(self, stages: list[Stage], layer: int) -> Tensor:
        kept = torch.ones_like(self.visual)
        for stage in stages:
            if stage.depth <= layer:
                kept = kept & stage.kept
        return kept

    def cached(self, stages: list[Stage], layer: int) -> Tensor:
        kept = torch.ones_like(self.visual)
        for stage in stages:
            if stage.depth <= layer or stage.cache == "pruned":
                kept = kept & stage.kept
        return kept

    @torch.no_grad()
    def run(self, stages: list[Stage], said: list[int] | None = None) -> tuple[Tensor, list[Tensor]]:
        """(vocabulary,) logits of the next token, and for every layer what enters it (L, C), prompt only."""
        said = said or []
        length, total = len(self.visual), len(self.visual) + len(said)
        embeds = torch.cat([self.embeds, self.hf.get_input_embeddings()(torch.tensor(said, dtype=torch.long))])
        entering: list[Tensor] = []

        def enter(index):
            def hook(module, args, kwargs):
                hidden = args[0] if args else kwargs["hidden_states"]
                entering.append(hidden[0, :length])
                mask = torch.ones(total, total, dtype=torch.bool).tril()
                mask[:length, :length] &= self.alive(stages, index)
                mask[length:, :length] &= self.cached(stages, index)
                mask |= torch.eye(total, dtype=torch.bool)
                places = self.places(stages, index)
                following = places[..., -1:] + torch.arange(1, len(said) + 1)
                rope = self.text.rotary_emb(hidden, torch.cat([places, following], -1))
                return args, kwargs | {"attention_mask": mask[None, None], "position_embeddings": rope}

            return hook

        with adding(self.hf, self.features):  # before the hooks that note what enters
            hooks = [
                layer.register_forward_pre_hook(enter(index), with_kwargs=True)
                for index, layer in enumerate(self.text.layers)
            ]
            try:
                out = self.hf(
                    inputs_embeds=embeds[None],
                    position_ids=torch.zeros(*self.positions.shape[:-1], total, dtype=torch.long),
                    attention_mask=torch.ones(1, total, dtype=torch.long),
                    use_cache=False,
                )
            finally:
                for hook in hooks:
                    hook.remove()
        return out.logits[0, -1], entering

    def answer(self, stages: list[Stage], steps: int) -> tuple[list[int], Tensor]:
        said, logits = [], []
        for _ in range(steps):
            logits.append(self.run(stages, said)[0])
            said.append(int(logits[-1].argmax()))
        return said, torch.stack(logits)

    # ------------------------------------------------------------------------------------------ from the formula

    @torch.no_grad()
    def query_key(self, stages: list[Stage], layer: int, rope: bool = True) -> tuple[Tensor, Tensor]:
        """(L, H, D) and (L, H_kv, D) of a layer whose input has lost what `stages` say up to it."""
        module, hidden = self.text.layers[layer], self.run(stages)[1][layer]
        normed = rms(hidden, module.input_layernorm)
        size = module.self_attn.head_dim
        query = module.self_attn.q_proj(normed).view(len(hidden), -1, size)
        key = module.self_attn.k_proj(normed).view(len(hidden), -1, size)
        if hasattr(module.self_attn, "q_norm"):  # Qwen3
            query, key = rms(query, module.self_attn.q_norm), rms(key, module.self_attn.k_norm)
        if rope:
            cosine, sine = (part[0] for part in self.text.rotary_emb(hidden[None], self.places(stages, layer)))
            query, key = turned(query, cosine, sine), turned(key, cosine, sine)
        return query, key

    @torch.no_grad()
    def value(self, stages: list[Stage], layer: int) -> Tensor:
        """(L, H_kv, D) of a layer whose input has lost what `stages` say up to it."""
        module, hidden = self.text.layers[layer], self.run(stages)[1][layer]
        normed = rms(hidden, module.input_layernorm)
        return module.self_attn.v_proj(normed).view(len(hidden), -1, module.self_attn.head_dim)

    def attention(self, stages: list[Stage], layer: int, rope: bool = True) -> Tensor:
        """(L,): how much of the last token's attention each token gets, averaged over heads; 0 for dropped ones."""
        query, key = self.query_key(stages, layer, rope)
        alive = self.alive(stages, layer)
        groups = query.shape[1] // key.shape[1]
        total = torch.zeros(len(alive))
        for head in range(query.shape[1]):
            products = key[:, head // groups] @ query[-1, head] / query.shape[-1] ** 0.5
            weights = torch.where(alive, products.double().exp(), 0.0)
            total += (weights / weights.sum()).float() / query.shape[1]
        return total


def rms(hidden: Tensor, norm: torch.nn.Module) -> Tensor:
    return hidden / (hidden.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt() * norm.weight


def turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """RoPE, half against half: x (L, heads, D), cosine and sine (L, D)."""
    half = x.shape[-1] // 2
    other = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cosine[:, None] + other * sine[:, None]


@torch.no_grad()
def plain_answer(hf, embeds: Tensor, positions: Tensor, steps: int, features=()) -> tuple[list[int], Tensor]:
    """A sequence (S, C) at explicit positions through the stock model, no cache; features of DeepStack (S, C) each."""
    said, logits = [], []
    for _ in range(steps):
        whole = torch.cat([embeds, hf.get_input_embeddings()(torch.tensor(said, dtype=torch.long))])
        following = positions[..., -1:] + torch.arange(1, len(said) + 1)
        places = torch.cat([positions, following], -1)
        real = torch.ones(1, len(whole), dtype=torch.long)  # without it gaps in positions are taken for packed rows
        with adding(hf, [feature[None] for feature in features]):
            out = hf(inputs_embeds=whole[None], position_ids=places, attention_mask=real, use_cache=False)
        logits.append(out.logits[0, -1])
        said.append(int(logits[-1].argmax()))
    return said, torch.stack(logits)
