"""A fast forward pass for training the demo base model, equal to the stock one (tests/training/test_demo_base.py).

Many questions share one image. Nothing here knows a loss: what losses need of the attention is recorded on the way, as
`Supervision` says.

B images, P visual tokens, A head tokens + P + 1 = S tokens of the shared prefix, Q packed tokens.
"""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedConfig, Qwen2_5_VLForConditionalGeneration

from glimpse_core.training.demo_base.attention import CHUNK, chunked_attention, norm, positions, rope, rotate
from glimpse_core.training.demo_base.data import BaseBatch
from glimpse_core.training.demo_base.recipe import Supervision
from glimpse_core.training.demo_base.vision import encode_images
from glimpse_core.types import IGNORED_LABEL

BLOCKED = -1e4  # attention bias of what is not seen
NOTHING = Supervision((), (), (), (), (), (), 0)


@dataclass
class BaseOutput:
    """Outputs of one forward pass, and what was recorded of its attention."""

    logits: Tensor  # (n, V) at the positions that predict an answer token
    targets: Tensor  # (n,)
    visual: Tensor  # (B, P, C) visual tokens before the text model
    located: Tensor  # (B, P, C) hidden states of the visual tokens after `locate_after` text layers
    masses: list[Tensor]  # per supervised layer (n, heads): attention of n supervised positions to their visual tokens
    spreads: list[Tensor]  # per cover layer (n, heads, P): attention of the last token of n questions with evidence
    relevance: Tensor  # (n, P, layers * heads): log shares of attention of the same tokens in the mask layers
    pointed: tuple[Tensor, ...]  # (B, Q, C) hidden states of packed tokens after the last early and look layer


@dataclass
class _State:
    """What the layers need beside hidden states: which tokens there are, where they are, what they see."""

    image: slice  # of the visual tokens within the prefix
    shared: int  # S
    cos: Tensor  # (B, 1, S + Q, D)
    sin: Tensor
    causal: Tensor  # (B or 1, 1, S, S) bias of the prefix
    alone: Tensor  # (B, 1, Q, S + Q) bias of the packed tokens
    supervised: dict[int, Tensor]  # (B, Q, P) bool by layer


@dataclass
class _Records:
    masses: list[Tensor] = field(default_factory=list)
    spreads: list[Tensor] = field(default_factory=list)
    relevance: list[Tensor] = field(default_factory=list)
    pointed: list[Tensor] = field(default_factory=list)


def forward(
    model: Qwen2_5_VLForConditionalGeneration,
    batch: BaseBatch,
    head_ids: list[int],
    supervision: Supervision = NOTHING,
) -> BaseOutput:
    """Run all packed questions of a batch of images, teacher-forced.

    Args:
        model: the demo base model.
        batch: images and questions.
        head_ids: ids before the image.
        supervision: what is recorded, and in which layers.

    Raises:
        ValueError: attention to all visual tokens is to be recorded in layers where some are lost already.
    """
    late = [layer for layer in (*supervision.cover_layers, *supervision.mask_layers) if layer >= batch.depth]
    if late:
        raise ValueError(f"Layers {late} are supervised with all tokens. Expected layers before {batch.depth}.")
    text: Any = model.model.language_model
    visual = encode_images(model, batch.pixels)
    x, state = _begin(model, batch, head_ids, visual, supervision)
    records, asking, located = _Records(), batch.covered.any(-1), visual
    for index, layer in enumerate(text.layers):
        if index == batch.depth:
            x, state = _lose(x, state, batch)
        x = x + _attend(layer.self_attn, norm(x, layer.input_layernorm), state, index, supervision, asking, records)
        x = x + layer.mlp(norm(x, layer.post_attention_layernorm))
        if index + 1 == supervision.locate_after:
            located = x[:, state.image]
        if index in (max(supervision.early_layers, default=-1), max(supervision.look_layers, default=-1)):
            records.pointed.append(x[:, state.shared :])
    answered = batch.targets != IGNORED_LABEL
    logits = model.lm_head(norm(x[:, state.shared :][answered], text.norm))
    relevance = records.relevance or [x.new_zeros(int(asking.sum()), visual.shape[1], 0)]
    return BaseOutput(
        logits=logits,
        targets=batch.targets[answered],
        visual=visual,
        located=located,
        masses=records.masses,
        spreads=records.spreads,
        relevance=torch.cat(relevance, -1),
        pointed=tuple(records.pointed),
    )


def _begin(
    model: Qwen2_5_VLForConditionalGeneration,
    batch: BaseBatch,
    head_ids: list[int],
    visual: Tensor,
    supervision: Supervision,
) -> tuple[Tensor, _State]:
    """Return the first hidden states (B, S + Q, C), and the state before any token is lost."""
    text, images, embed = model.model.language_model, len(visual), model.model.language_model.embed_tokens
    head = embed(torch.tensor(head_ids))[None].expand(images, -1, -1)
    end = embed(torch.tensor([model.config.vision_end_token_id]))[None].expand(images, -1, -1)
    x = torch.cat([head, visual.to(head.dtype), end, embed(batch.ids)], 1)
    shared, length = len(head_ids) + visual.shape[1] + 1, batch.ids.shape[1]
    image = slice(len(head_ids), shared - 1)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    where = positions(len(head_ids), batch.rows, batch.columns, batch.block, batch.offset)
    cos, sin = rope(text, where, dtype)
    causal = torch.full((1, 1, shared, shared), BLOCKED, dtype=dtype).triu(1)
    own = (batch.block[:, :, None] == batch.block[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
    alone = torch.zeros(images, 1, length, shared + length, dtype=dtype)
    alone[..., shared:].masked_fill_(~own[:, None], BLOCKED)
    alone[..., image].masked_fill_((batch.dropped & batch.answering[..., None])[:, None], BLOCKED)
    supervised = dict.fromkeys(supervision.early_layers, batch.early)
    supervised |= dict.fromkeys(supervision.look_layers, batch.evidence)
    return x, _State(image, shared, cos, sin, causal, alone, supervised)


def _lose(x: Tensor, state: _State, batch: BaseBatch) -> tuple[Tensor, _State]:
    """Return hidden states and the rest after layer K: questions and visual tokens no longer see what they lost.

    Visual tokens that nothing sees any more are left out altogether, which changes no number.
    """
    image, tokens = state.image, batch.alone.shape[1]
    causal = state.causal.repeat(len(x), 1, 1, 1)
    others = batch.alone[:, None, :] & ~torch.eye(tokens, dtype=torch.bool)
    causal[..., image, image].masked_fill_(others[:, None], BLOCKED)
    causal[..., -1, image].masked_fill_(batch.alone[:, None], BLOCKED)
    state.alone[..., image].masked_fill_(batch.dropped[:, None], BLOCKED)
    unseen = batch.alone & (batch.dropped | (batch.block < 0)[..., None]).all(1)
    most = int((~unseen).sum(1).max())
    if most == tokens:
        return x, replace(state, causal=causal)
    seen_first = unseen.to(torch.int8).argsort(dim=1, stable=True)
    kept = seen_first[:, :most].sort(1).values  # images with fewer seen tokens are filled up with unseen ones
    before, after = torch.arange(image.start), torch.arange(image.stop, x.shape[1])
    index = torch.cat([before.expand(len(x), -1), image.start + kept, after.expand(len(x), -1)], 1)
    shared = image.start + most + 1
    rows = torch.arange(len(x))[:, None]
    cos, sin = (part[:, 0][rows, index][:, None] for part in (state.cos, state.sin))
    prefix = index[:, :shared]
    return x[rows, index], _State(
        image=slice(image.start, shared - 1),
        shared=shared,
        cos=cos,
        sin=sin,
        causal=causal[rows[..., None], 0, prefix[:, :, None], prefix[:, None, :]][:, None],
        alone=state.alone[:, 0].gather(2, index[:, None].expand(-1, state.alone.shape[2], -1))[:, None],
        supervised={
            layer: mask.gather(2, kept[:, None].expand(-1, mask.shape[1], -1))
            for layer, mask in state.supervised.items()
            if layer >= batch.depth
        },
    )


def _attend(
    attention: Any,
    normed: Tensor,
    state: _State,
    index: int,
    supervision: Supervision,
    asking: Tensor,
    records: _Records,
) -> Tensor:
    """Return the attention block's output, and record what is supervised in this layer."""
    q, k, v = _project(attention, normed, state)
    shared = state.shared
    before = chunked_attention(q[:, :, :shared], k[:, :, :shared], v[:, :, :shared], state.causal, causal=True)
    after, masses, spread, scored = [], [], [], []
    for start in range(0, q.shape[2] - shared, CHUNK):
        part = slice(start, start + CHUNK)
        scores = q[:, :, shared:][:, :, part] @ k.mT
        weights = (scores + state.alone[:, :, part]).softmax(-1)
        after.append(weights @ v)
        if index in state.supervised:
            on_image = weights[:, list(supervision.look_heads), :, state.image]
            masses.append((on_image * state.supervised[index][:, None, part].to(weights.dtype)).sum(-1))
        if index in supervision.cover_layers:
            spread.append(weights[:, list(supervision.cover_heads), :, state.image].transpose(1, 2)[asking[:, part]])
        if index in supervision.mask_layers:  # before any mask, as the predictor reads them
            scored.append(scores[..., state.image].transpose(1, 2)[asking[:, part]])
    if masses:
        records.masses.append(torch.cat(masses, 2).transpose(1, 2)[state.supervised[index].any(-1)])
    if spread:
        records.spreads.append(_in_order(spread, asking))
    if scored:
        records.relevance.append(_in_order(scored, asking).float().log_softmax(-1).mT)
    out = torch.cat([before, *after], 2).transpose(1, 2).flatten(2)
    return attention.o_proj(out)


def _project(attention: Any, normed: Tensor, state: _State) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries (scaled), keys and values (B, heads, S + Q, D), each key and value once per head that reads it."""
    sizes = cast(PreTrainedConfig, attention.config)
    q, k, v = (
        project(normed).view(len(normed), -1, count, attention.head_dim).transpose(1, 2)
        for project, count in (
            (attention.q_proj, sizes.num_attention_heads),
            (attention.k_proj, sizes.num_key_value_heads),
            (attention.v_proj, sizes.num_key_value_heads),
        )
    )
    q, k = rotate(q * attention.scaling, state.cos, state.sin), rotate(k, state.cos, state.sin)
    k, v = (part.repeat_interleave(attention.num_key_value_groups, 1) for part in (k, v))
    return q, k, v


def _in_order(chunks: list[Tensor], asking: Tensor) -> Tensor:
    """Return the rows of all chunks in the order of `asking`'s true entries. chunks: (n_i, ...) rows chunk by chunk."""
    places = [part.nonzero() for part in asking.split(CHUNK, 1)]
    order = torch.cat([place[:, 0] * asking.shape[1] + place[:, 1] + i * CHUNK for i, place in enumerate(places)])
    return torch.cat(chunks)[order.argsort()]
