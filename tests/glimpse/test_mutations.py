"""Mistakes that must be noticed: each is put into the running code, and a check must fail.

The checks are those of `test_parity.py` and `test_oracle.py`; without the mistake they pass.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from glimpse_core import backbones as backbone
from glimpse_core.backbones import llava_original
from glimpse_core.engine import prefix
from glimpse_core.engine.attention import Probe
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import look, model, token, vip
from glimpse_core.inference import decoding as decode
from glimpse_core.parity import run_case
from glimpse_core.pruners import GlimpsePruner, state
from glimpse_core.pruners import glimpse as glimpse_pruner
from tests.backbones.test_llava import GOLDEN as GOLDEN_LLAVA
from tests.glimpse.test_oracle import check_against_oracle
from tests.parity.test_parity import GOLDEN
from tests.support import tiny


def golden(case, folder=GOLDEN):
    """The golden case must pass."""

    def check():
        assert run_case(folder / case).ok

    return check


def golden_llava(case):
    return golden(case, GOLDEN_LLAVA)


@torch.no_grad()
def oracle_batch():
    """A padded batch must be decoded as the oracle does."""
    loaded = tiny.model()
    prompt = tiny.batch(loaded)
    check_against_oracle(loaded, prompt, GlimpsePruner(loaded)(prompt))


@torch.no_grad()
def oracle_one():
    loaded = tiny.model()
    prompt = tiny.prompt(loaded, (140, 112), (84, 112))
    pruned = GlimpsePruner(loaded)(prompt)
    assert pruned.branch.hidden.shape[1] != int(pruned.trunk.positions.max()) + 1, "a lucky length would hide a mistake"
    check_against_oracle(loaded, prompt, pruned)


def renumbered_positions(patch):
    patch.setattr(state, "keep", lambda trunk, kept, **given: prefix.keep(trunk, kept, positions="renumbered"))


def shallow_cache_left_full(patch):
    patch.setattr(state, "keep", lambda trunk, kept, **given: prefix.keep(trunk, kept, cache="untouched"))


def glimpse_left_in_the_cache(patch):
    def drop(given, count):
        return replace(given, hidden=given.hidden[:, :-count], positions=given.positions[..., :-count])

    patch.setattr(look, "drop_last", drop)


def mask_off_by_one(patch):
    right = state.drop
    patch.setattr(
        glimpse_pruner, "drop", lambda given, kept, **rest: right(given, [mask.roll(1) for mask in kept], **rest)
    )


def pruned_one_layer_late(patch):
    right = model.GlimpseModel.keep_depth
    patch.setattr(model.GlimpseModel, "keep_depth", property(lambda self: right.fget(self) + 1))


def keys_of_the_wrong_layer(patch):
    right = Probe.read

    def read(self, module, query, key):
        kept, module.layer_idx = module.layer_idx, module.layer_idx + 1
        right(self, module, query, key)
        module.layer_idx = kept

    patch.setattr(Probe, "read", read)


def scaling_forgotten(patch):
    right = Probe.read
    patch.setattr(Probe, "read", lambda self, m, q, k: right(self, m, q * q.shape[-1] ** 0.5, k))


def heads_grouped_the_wrong_way(patch):
    right = Probe.read

    def read(self, module, query, key):
        groups = query.shape[1] // key.shape[1]
        right(self, module, query, key.repeat(1, groups, 1, 1))

    patch.setattr(Probe, "read", read)


def query_of_the_prompt_instead_of_the_glimpse(patch):
    right = Probe.read
    patch.setattr(Probe, "read", lambda self, m, q, k: right(self, m, q[:, :, :-1], k))


def window_order_not_undone(patch):
    right = backbone.Qwen25VL.windows

    def windows(self, prompt):
        order, lengths = right(self, prompt)
        return torch.arange(len(order)), lengths

    patch.setattr(backbone.Qwen25VL, "windows", windows)


def vision_layers_reversed(patch):
    for family in (backbone.Qwen25VL, backbone.Llava):
        right = family.encode_images

        def encode_images(self, prompt, layers=(), *rest, right=right):
            seen = right(self, prompt, layers, *rest)
            return replace(seen, conditions=seen.conditions.flip(0))

        patch.setattr(family, "encode_images", encode_images)


def vision_layers_counted_as_blocks(patch):
    """Qwen2.5-VL's convention on LLaVA's tower."""
    right = backbone.Llava.encode_images

    def encode_images(self, prompt, layers=(), *rest):
        return right(self, prompt, tuple(layer + 1 for layer in layers), *rest)

    patch.setattr(backbone.Llava, "encode_images", encode_images)


def class_token_taken_for_a_patch(patch):
    right = backbone.Llava.encode_images

    def encode_images(self, prompt, layers=(), *rest):
        seen = right(self, prompt, layers, *rest)
        return replace(seen, conditions=seen.conditions.roll(1, dims=1))

    patch.setattr(backbone.Llava, "encode_images", encode_images)


def features_of_the_last_layer(patch):
    right = llava_original.read_config

    def read_config(folder, settings, tower):
        return right(folder, settings | {"mm_vision_select_layer": -1}, tower)

    patch.setattr(llava_original, "read_config", read_config)


def projector_layers_swapped(patch):
    names = dict(llava_original.NAMES)
    first, second = "model.mm_projector.0.bias", "model.mm_projector.2.bias"
    swapped = {first: "multi_modal_projector.linear_2.bias", second: "multi_modal_projector.linear_1.bias"}
    patch.setattr(llava_original, "NAMES", swapped | names)


def rows_and_columns_swapped(patch):
    right = vip.rotations
    patch.setattr(vip, "rotations", lambda cells, size, device: right(cells.flip(1), size, device))


def images_see_each_other(patch):
    right = backbone.Qwen25VL.layout

    def layout(self, prompt, whole=True):
        found = right(self, prompt, whole)
        return replace(found, lengths=(sum(found.lengths),))

    patch.setattr(backbone.Qwen25VL, "layout", layout)


def cap_rounded_up(patch):
    right = glimpse_pruner.select

    def select(logits, selection, grid, ties):
        ratio = selection.max_ratio
        if ratio is not None:
            selection = replace(selection, max_ratio=(math.ceil(ratio * len(logits)) + 1e-6) / len(logits))
        return right(logits, selection, grid, ties)

    patch.setattr(glimpse_pruner, "select", select)


def glimpse_added_in_layer_0_only(patch):
    patch.setattr(look, "additions", lambda config, vectors, rows=None: lambda layer, hidden: hidden)


def glimpse_one_position_late(patch):
    right = token.append

    def append(given, vectors):
        whole = right(given, vectors)
        length = given.positions.shape[-1]
        return replace(
            whole, positions=torch.cat([whole.positions[..., :length], whole.positions[..., length:] + 1], -1)
        )

    patch.setattr(look, "append", append)


def normalized_over_the_picture_only(patch):
    right = look.visual_attention

    def visual_attention(loaded, prompt, probe, padding, *rest):
        raw = replace(loaded, config=replace(loaded.config, read_logits=True))
        return right(raw, prompt, probe, padding, *rest).log_softmax(0)

    patch.setattr(look, "visual_attention", visual_attention)
    assert right is not visual_attention


def position_from_the_cache_length(patch):
    right = decode.feed

    def feed(bone, given, tokens):
        length = given.cache.get_seq_length()
        return right(bone, replace(given, positions=torch.full_like(given.positions, length - 1)), tokens)

    patch.setattr(decode, "feed", feed)


def padding_forgotten(patch):
    right = prefix.keep
    patch.setattr(state, "keep", lambda trunk, kept, **given: replace(right(trunk, kept), padding=None))


MUTATIONS = [
    (renumbered_positions, golden("a_square")),
    (renumbered_positions, oracle_one),
    (shallow_cache_left_full, oracle_one),
    (glimpse_left_in_the_cache, golden("a_square")),
    (mask_off_by_one, golden("a_square")),
    (pruned_one_layer_late, golden("a_square")),
    (keys_of_the_wrong_layer, golden("i_gqa_deep_reduce")),
    (scaling_forgotten, golden("a_square")),
    (heads_grouped_the_wrong_way, golden("a_square")),
    (query_of_the_prompt_instead_of_the_glimpse, golden("a_square")),
    (window_order_not_undone, golden("b_rect")),
    (vision_layers_reversed, golden("b_rect")),
    (rows_and_columns_swapped, golden("b_rect")),
    (images_see_each_other, golden("c_two_images")),
    (cap_rounded_up, golden("e_cap")),
    (glimpse_added_in_layer_0_only, golden("a_square")),
    (glimpse_one_position_late, golden("a_square")),
    (normalized_over_the_picture_only, golden("g_log_probs")),
    (position_from_the_cache_length, golden("a_square")),
    (position_from_the_cache_length, oracle_one),
    (padding_forgotten, oracle_batch),
    (padding_forgotten, golden("k_batch_left_pad")),
    *(
        (mistake, golden_llava("a_single"))
        for mistake in (
            renumbered_positions,
            glimpse_left_in_the_cache,
            mask_off_by_one,
            pruned_one_layer_late,
            keys_of_the_wrong_layer,
            scaling_forgotten,
            vision_layers_reversed,
            vision_layers_counted_as_blocks,
            class_token_taken_for_a_patch,
            features_of_the_last_layer,
            projector_layers_swapped,
            rows_and_columns_swapped,
            glimpse_added_in_layer_0_only,
            glimpse_one_position_late,
            normalized_over_the_picture_only,
            position_from_the_cache_length,
        )
    ),
    (cap_rounded_up, golden_llava("b_cap")),
]


@pytest.mark.parametrize("mistake,check", MUTATIONS, ids=lambda value: value.__name__)
def test_the_mistake_is_noticed(mistake, check, monkeypatch):
    mistake(monkeypatch)
    with pytest.raises((AssertionError, GlimpseError)):  # the engine itself notices some
        check()


@pytest.mark.parametrize("check", [oracle_one, oracle_batch])
def test_without_a_mistake_the_check_passes(check):
    check()
