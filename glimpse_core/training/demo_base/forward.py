"""A fast forward pass for training the demo base model, equal to the stock one (tests/training/test_demo_base.py).

Three things make it fast on a CPU: windows of the vision tower run as one padded batch instead of a Python loop,
the two identical frames of a still image share one patch projection, and many questions share one image.

B images, P visual tokens, W windows of S padded patches, A head tokens + P + 1 = the shared prefix, Q packed tokens.
"""

import functools
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from glimpse_core.training.demo_base.data import TOKEN, BaseBatch
from glimpse_core.types import IGNORED_LABEL


@functools.lru_cache(maxsize=256)
def windows(rows: int, columns: int, side: int, unit: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return how the patches of an image fall into windows.

    Args:
        rows, columns: visual tokens of the image.
        side: visual tokens on each side of a window.
        unit: patches on each side of a visual token.

    Returns:
        source: (W * S,) index of each slot's patch, patches in raster order of their tokens; 0 at padding.
        real: (W * S,) bool, False at padding.
        place: (4P,) slot of each patch.
        coordinates: (W * S, 2) row and column of each slot's patch.
    """
    down, across = -(-rows // side), -(-columns // side)
    slots = side * side * unit * unit
    source = torch.zeros(down * across, slots, dtype=torch.long)
    real = torch.zeros(down * across, slots, dtype=torch.bool)
    place = torch.zeros(rows * columns * unit * unit, dtype=torch.long)
    coordinates = torch.zeros(down * across, slots, 2, dtype=torch.long)
    for row in range(rows):
        for column in range(columns):
            window = row // side * across + column // side
            token = row % side * side + column % side
            for part in range(unit * unit):
                slot, patch = token * unit * unit + part, (row * columns + column) * unit * unit + part
                source[window, slot] = patch
                real[window, slot] = True
                place[patch] = window * slots + slot
                coordinates[window, slot, 0] = row * unit + part // unit
                coordinates[window, slot, 1] = column * unit + part % unit
    return source.reshape(-1), real.reshape(-1), place, coordinates.reshape(-1, 2)


def patches(pixels: Tensor, patch: int = 14, unit: int = 2) -> Tensor:
    """Return patches (B, 4P, 3 * patch * patch) in [-1, 1] of images (B, H, W, 3) uint8, in the processor's order."""
    batch, height, width, _ = pixels.shape
    x = pixels.float().mul_(1 / 127.5).sub_(1.0)
    x = x.view(batch, height // (unit * patch), unit, patch, width // (unit * patch), unit, patch, 3)
    return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, -1, 3 * patch * patch)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


class RmsNorm(Protocol):
    """What `_norm` needs of transformers' RMS norms."""

    weight: nn.Parameter
    variance_epsilon: float


def _norm(x: Tensor, module: RmsNorm) -> Tensor:
    return F.rms_norm(x.float(), (x.shape[-1],), module.weight, module.variance_epsilon)


def _softmax_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = q @ k.mT
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ v


CHUNK = 128  # query rows at a time: the scores of a chunk stay in the cache, which halves the time of long prompts


def _chunked_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool = False) -> Tensor:
    """Compute exact attention, some query rows at a time; causal skips the keys that no row of the chunk sees."""
    parts = []
    for start in range(0, q.shape[2], CHUNK):
        stop = min(start + CHUNK, q.shape[2])
        seen = stop if causal else k.shape[2]
        part = None if bias is None else (bias[..., start:stop, :seen] if bias.shape[-2] > 1 else bias)
        parts.append(_softmax_attention(q[:, :, start:stop], k[:, :, :seen], v[:, :, :seen], part))
    return torch.cat(parts, 2)


def encode_images(model: Qwen2_5_VLForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Return visual tokens (B, P, C) of images (B, H, W, 3) uint8 as the text model receives them, in raster order."""
    tower: Any = model.model.visual
    config = tower.config
    batch, rows, columns = pixels.shape[0], pixels.shape[1] // TOKEN, pixels.shape[2] // TOKEN
    side = config.window_size // config.patch_size // config.spatial_merge_size
    source, real, place, coordinates = windows(rows, columns, side)
    weight = tower.patch_embed.proj.weight.sum(2).flatten(1)  # both frames of a still image are the same
    x = F.linear(patches(pixels), weight)[:, source]  # (B, W * S, D)
    slots, heads = side * side * 4, config.num_heads
    head_dim = x.shape[-1] // heads
    inverse = 10_000.0 ** (-torch.arange(0, head_dim // 2, 2).float() / (head_dim // 2))
    angles = (coordinates[:, :, None].float() * inverse).flatten(1)  # (W * S, head_dim / 2): rows, then columns
    angles = torch.cat([angles, angles], -1)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    ragged = not bool(real.all())
    hidden_key = torch.zeros(real.shape, dtype=dtype).masked_fill(~real, -1e4) if ragged else None
    for index, block in enumerate(tower.blocks):
        attention = block.attn
        q, k, v = attention.qkv(_norm(x, block.norm1)).view(batch, -1, 3, heads, head_dim).unbind(2)
        q, k = (_rotate(part, cos[:, None], sin[:, None]) for part in (q * attention.scaling, k))
        if index in config.fullatt_block_indexes:
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            bias = None if hidden_key is None else hidden_key[None, None, None]
            out = _chunked_attention(q, k, v, bias).transpose(1, 2)
        else:
            q, k, v = (part.view(batch, -1, slots, heads, head_dim).transpose(2, 3) for part in (q, k, v))
            bias = None if hidden_key is None else hidden_key.view(1, -1, 1, 1, slots)
            out = _softmax_attention(q, k, v, bias).transpose(2, 3)
        x = x + attention.proj(out.reshape(batch, -1, heads * head_dim))
        x = x + block.mlp(_norm(x, block.norm2))
    x = x[:, place]
    merger = tower.merger
    visual: Tensor = merger.mlp(_norm(x, merger.ln_q).view(batch, rows * columns, -1))
    return visual


@dataclass
class BaseOutput:
    """Outputs of one forward pass, and the losses of its attention."""

    logits: Tensor  # (n, V) at the positions that predict an answer token
    targets: Tensor  # (n,)
    visual: Tensor  # (B, P, C) visual tokens before the text model
    located: Tensor  # (B, P, C) hidden states of the visual tokens after `locate_after` text layers
    looked: Tensor  # scalar: mean of -log(attention mass on the evidence) over supervised layers
    covered: Tensor  # scalar: cross entropy of the last question token's attention to all its evidence, above perfect
    relevance: Tensor  # (n, P, layers * heads): log shares of attention of the last token of n questions with evidence
    pointed: tuple[Tensor, ...]  # (B, Q, C) hidden states of packed tokens after the last early and look layer


def positions(head: int, rows: int, columns: int, block: Tensor, offset: Tensor) -> Tensor:
    """Return the multimodal positions (3, B, A + P + 1 + Q) of the shared prefix and of every packed question."""
    text = torch.arange(head).expand(3, -1)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    image = torch.stack([torch.zeros(rows * columns, dtype=torch.long), y.flatten(), x.flatten()]) + head
    after = head + max(rows, columns)
    prefix = torch.cat([text, image, torch.full((3, 1), after)], 1)
    tail = (offset + after + 1)[None].expand(3, -1, -1)
    return torch.cat([prefix[:, None].expand(-1, block.shape[0], -1), tail], -1)


def forward(
    model: Qwen2_5_VLForConditionalGeneration,
    batch: BaseBatch,
    head_ids: list[int],
    early_layers: tuple[int, ...] = (),
    look_layers: tuple[int, ...] = (),
    look_heads: tuple[int, ...] = (),
    cover_layers: tuple[int, ...] = (),
    cover_heads: tuple[int, ...] = (),
    mask_layers: tuple[int, ...] = (),
    locate_after: int = 2,
) -> BaseOutput:
    """Run all packed questions of a batch of images, teacher-forced.

    Args:
        model: the demo base model.
        batch: images and questions.
        head_ids: ids before the image.
        early_layers: layers whose attention is supervised with `batch.early`.
        look_layers: layers whose attention is supervised with `batch.evidence`.
        look_heads: heads whose attention is supervised in either.
        cover_layers, cover_heads: layers and heads in which the last token of a question is supervised to attend to
            all its evidence alike.
        mask_layers: layers whose attention scores are returned as `BaseOutput.relevance`.
        locate_after: number of layers after which `BaseOutput.located` is read.
    """
    text, config = model.model.language_model, model.config
    sizes = cast(PreTrainedConfig, config.text_config)
    images, rows, columns = len(batch.pixels), batch.rows, batch.columns
    visual = encode_images(model, batch.pixels)
    embed = text.embed_tokens
    head = embed(torch.tensor(head_ids))[None].expand(images, -1, -1)
    end = embed(torch.tensor([config.vision_end_token_id]))[None].expand(images, -1, -1)
    x = torch.cat([head, visual.to(head.dtype), end, embed(batch.ids)], 1)
    shared, first, tokens = len(head_ids) + rows * columns + 1, len(head_ids), rows * columns
    token_positions = positions(len(head_ids), rows, columns, batch.block, batch.offset)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    cos, sin = rope(text, token_positions, dtype)
    causal = torch.full((shared, shared), -1e4, dtype=dtype).triu(1)
    length = batch.ids.shape[1]
    own = (batch.block[:, :, None] == batch.block[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
    alone = torch.zeros(images, 1, length, shared + length, dtype=dtype)
    alone[..., shared:].masked_fill_(~own[:, None], -1e4)
    image = slice(first, first + tokens)
    pruned, seen = alone.clone(), causal[None, None].repeat(images, 1, 1, 1)  # from layer `depth` on
    pruned[..., image].masked_fill_(batch.dropped[:, None], -1e4)
    alone[..., image].masked_fill_((batch.dropped & batch.answering[..., None])[:, None], -1e4)
    others = batch.alone[:, None, :] & ~torch.eye(tokens, dtype=torch.bool)
    seen[..., image, image].masked_fill_(others[:, None], -1e4)
    seen[..., -1, image].masked_fill_(batch.alone[:, None], -1e4)
    supervised = {layer: batch.early for layer in early_layers} | {layer: batch.evidence for layer in look_layers}
    looked, covered, located, pointed = x.new_zeros(()), x.new_zeros(()), visual, []
    relevance: list[Tensor] = []
    asking, share = batch.covered.any(-1), batch.covered / batch.covered.sum(-1, keepdim=True).clamp(min=1)
    for index, layer in enumerate(text.layers):
        attention = layer.self_attn
        dim, groups = attention.head_dim, attention.num_key_value_groups
        normed = _norm(x, layer.input_layernorm)
        q, k, v = (
            project(normed).view(images, -1, count, dim).transpose(1, 2)
            for project, count in (
                (attention.q_proj, sizes.num_attention_heads),
                (attention.k_proj, sizes.num_key_value_heads),
                (attention.v_proj, sizes.num_key_value_heads),
            )
        )
        q, k = _rotate(q * attention.scaling, cos, sin), _rotate(k, cos, sin)
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        if index == batch.depth:
            alone, causal = pruned, seen
        before = _chunked_attention(q[:, :, :shared], k[:, :, :shared], v[:, :, :shared], causal, causal=True)
        after, masses, spread, scored = [], [], [], []
        for start in range(0, length, CHUNK):
            part = slice(start, start + CHUNK)
            scores = q[:, :, shared:][:, :, part] @ k.mT
            weights = (scores + alone[:, :, part]).softmax(-1)
            after.append(weights @ v)
            if index in supervised:
                on_image = weights[:, list(look_heads), :, first : first + tokens]
                masses.append((on_image * supervised[index][:, None, part].to(dtype)).sum(-1))
            if index in cover_layers:
                spread.append(weights[:, list(cover_heads), :, image])
            if index in mask_layers:
                scored.append(scores[..., image])
        if index in cover_layers and asking.any():
            found, even = torch.cat(spread, 2).transpose(1, 2)[asking].float(), share[asking][:, None]
            excess = even * ((even + 1e-6).log() - (found + 1e-6).log())
            covered = covered + excess.sum(-1).mean() / len(cover_layers)
        if index in mask_layers:  # before any mask: tokens that this question loses are scored, too, as in use
            relevance.append(torch.cat(scored, 2).transpose(1, 2)[asking].float().log_softmax(-1).mT)
        if index in supervised:
            mass = torch.cat(masses, 2).transpose(1, 2)[supervised[index].any(-1)]
            looked = looked - torch.log(mass.float() + 1e-4).mean() / len(supervised)
        out = torch.cat([before, *after], 2).transpose(1, 2).reshape(images, -1, q.shape[1] * dim)
        x = x + attention.o_proj(out)
        x = x + layer.mlp(_norm(x, layer.post_attention_layernorm))
        if index + 1 == locate_after:
            located = x[:, first : first + tokens]
        if index in (max(early_layers, default=-1), max(look_layers, default=-1)):
            pointed.append(x[:, shared:])
    answered = batch.targets != IGNORED_LABEL
    hidden = _norm(x[:, shared:][answered], text.norm)
    shares = torch.cat(relevance, -1) if relevance else x.new_zeros(int(asking.sum()), tokens, 0)
    logits, targets = model.lm_head(hidden), batch.targets[answered]
    return BaseOutput(logits, targets, visual, located, looked, covered, shares, tuple(pointed))


def rope(text: Qwen2_5_VLTextModel, place: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cos and sin (B, 1, L, head_dim) of multimodal positions (3, B, L); each frequency belongs to one axis."""
    inverse = cast(Tensor, text.rotary_emb.inv_freq)
    sections = cast("dict[str, Any]", text.config.rope_parameters)["mrope_section"]
    axis = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))  # (head_dim / 2,)
    angles = place.permute(1, 2, 0)[..., axis].float() * inverse
    angles = torch.cat([angles, angles], -1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)
