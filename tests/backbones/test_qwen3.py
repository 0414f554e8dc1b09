"""Qwen3-VL: facts of transformers that its backbone relies on, videos, prompts, costs, and mistakes to be noticed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3VLProcessor

from glimpse_core.backbones import Qwen3VL
from glimpse_core.backbones.processors import Qwen3Processor
from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.engine import prefix as engine
from glimpse_core.glimpse import look, token
from glimpse_core.inference.decoding import finish
from glimpse_core.inference.session import Session
from glimpse_core.parity.inference import greedy
from glimpse_core.pruners import GlimpsePruner, MaskPruner, state
from glimpse_core.types import Grid, Prompt, Sampling
from tests.glimpse.test_oracle import check_against_oracle
from tests.pruners import test_methods as methods
from tests.support import oracle, tiny, tiny_qwen3

SLICES, ROWS, COLS = 3, 3, 4
QUESTION = "What happens?"


@pytest.fixture(scope="module")
def model():
    return tiny_qwen3.model()


@pytest.fixture(scope="module")
def prompt(model):
    return tiny.prompt(model, (140, 112), (64, 96))


def clip(model, seconds=1.5, fps=2.0) -> Prompt:
    """A prompt about a video of random patches, made as the processor makes it of decoded frames."""
    config, processor = model.backbone.hf.config, model.processor
    size = torch.tensor([[SLICES, 2 * ROWS, 2 * COLS]])
    pixels = torch.randn(int(size.prod()), 3 * 2 * 16 * 16, generator=torch.Generator().manual_seed(3))
    ids = processor.token_ids(1, QUESTION, None, kind="video")
    ids = processor.place_video(ids, config, [ROWS * COLS] * SLICES, seconds, fps)
    return model.backbone.prompt(torch.tensor([ids]), pixels, size, seconds=[seconds])


def stock(prompt: Prompt) -> dict[str, torch.Tensor]:
    return {
        "input_ids": prompt.input_ids, "attention_mask": prompt.attention_mask, "video_grid_thw": prompt.image_grid_thw,
        "pixel_values_videos": prompt.pixel_values, "mm_token_type_ids": prompt.mm_token_type_ids,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ transformers


@torch.no_grad()
def test_feature_i_is_added_to_the_output_of_layer_i(model, prompt):
    hf, seen = model.backbone.hf, {}
    hooks = []
    for index, layer in enumerate(hf.model.language_model.layers):
        hooks.append(
            layer.register_forward_pre_hook(lambda _, args, index=index: seen.update({(index, "in"): args[0]}))
        )
        hooks.append(layer.register_forward_hook(lambda _, args, out, index=index: seen.update({(index, "out"): out})))
    hf(**tiny.as_inputs(prompt))
    for hook in hooks:
        hook.remove()
    features = model.backbone.encode_images(prompt).deepstack
    assert len(features) == len(tiny_qwen3.DEEPSTACK) == 2
    visual = model.backbone.visual(prompt)
    for index in range(tiny.LAYERS - 1):
        change = seen[index + 1, "in"] - seen[index, "out"]
        expected = torch.zeros_like(change)
        if index < len(features):
            expected[visual] = features[index]
        torch.testing.assert_close(change, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_states_of_the_tower_are_units_of_four_patches_in_raster_order(model, prompt):
    """Index 0 of the hidden states enters block 0; the mergers' rows are the image features and DeepStack's."""
    hf = model.backbone.hf
    out = hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, output_hidden_states=[0, 1, 3, 4])
    tower = hf.model.visual
    assert torch.equal(tower.merger(out.hidden_states[4]), torch.cat(list(out.pooler_output)))
    for merger, block, feature in zip(
        tower.deepstack_merger_list, tiny_qwen3.DEEPSTACK, out.deepstack_features, strict=True
    ):
        assert torch.equal(merger(out.hidden_states[block + 1]), torch.cat(list(feature)))
    vision = model.backbone.encode_images(prompt, (3, 2))
    expected = out.hidden_states[4].view(-1, 4, 32).mean(1)
    torch.testing.assert_close(vision.conditions[0], expected)


@torch.no_grad()
def test_rotary_sections_are_interleaved(model, prompt):
    """Frequency i turns with the axis i % 3 up to three times the section, with time beyond."""
    hf = model.backbone.hf
    positions = model.backbone.positions(prompt)
    cosine, _ = hf.model.language_model.rotary_emb(torch.zeros(1), positions)
    sections = hf.config.text_config.rope_parameters["mrope_section"]
    for i in range(8):
        axis = i % 3 if i < 3 * sections[i % 3] else 0
        angles = positions[axis, 0] * 10000.0 ** (-2 * i / 16)
        for place in (i, i + 8):
            torch.testing.assert_close(cosine[0, :, place], angles.cos(), atol=1e-5, rtol=1e-5)
    rows = positions[1, 0, model.backbone.visual(prompt)[0]]
    assert len(set((positions[2, 0] - positions[1, 0]).tolist())) > 2 and len(set(rows.tolist())) > 3


# ------------------------------------------------------------------------------------------------ prompts and videos


def test_a_slice_of_a_video_is_a_block_after_its_time(model):
    """Times are the mean of the first and the last frame of a slice, as the stock processor calculates them."""
    ids = clip(model).input_ids[0].tolist()
    text = model.processor.tokenizer.decode(ids)
    block = "<|vision_start|>" + "<|video_pad|>" * ROWS * COLS + "<|vision_end|>"
    assert f"<0.5 seconds>{block}<2.0 seconds>{block}<3.5 seconds>{block}{QUESTION}" in text
    expected = Qwen3VLProcessor._calculate_timestamps(None, [0, 1, 2, 3, 4, 5], 2.0)
    usual = clip(model, seconds=1.0)
    told = model.processor.tokenizer.decode(usual.input_ids[0])
    assert [f"<{time:.1f} seconds>" in told for time in expected] == [True] * SLICES


@torch.no_grad()
def test_an_unpruned_video_is_answered_as_generate_does(model):
    given = clip(model)
    assert given.grids == (Grid(ROWS, COLS),) * SLICES
    generated = model.backbone.hf.generate(**stock(given), max_new_tokens=8, do_sample=False)
    answer = Session(model, given).answer(None, Sampling(max_new_tokens=8)).complete()
    assert answer.tokens == generated[0, given.input_ids.shape[1] :].tolist()
    positions = model.backbone.positions(given)[0, 0, model.backbone.visual(given)[0]].view(SLICES, -1)
    assert all(len(set(slice_.tolist())) == 1 for slice_ in positions) and (positions.diff(dim=0) > ROWS).all()


def check_video(model):
    """A pruned video must be answered as the oracle does, which is told to take its tokens for an image's."""
    given = clip(model)
    masks = tiny.random_masks(model, given)
    pruned = MaskPruner(model, masks, depth=1)(given)
    hf = model.backbone.hf
    kept = given.attention_mask.bool().masked_scatter(given.input_ids == hf.config.video_token_id, masks[0])
    with pytest.MonkeyPatch.context() as patch:
        order = hf.model.get_rope_index(given.input_ids, given.mm_token_type_ids, video_grid_thw=given.image_grid_thw)
        patch.setattr(oracle, "_positions", lambda hf, prompt: order[0])
        patch.setattr(hf.config, "image_token_id", hf.config.video_token_id)
        expected, wanted = oracle.answer(hf, given, kept, 1, 6)
    ids, logits, *_ = greedy(model.backbone, finish(model.backbone, pruned.branch), 6)
    assert torch.equal(ids, expected) and (logits - wanted).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_a_pruned_video_equals_the_oracle(model):
    check_video(model)


# ------------------------------------------------------------------------------------------------ costs


@torch.no_grad()
def test_costs_equal_torchs_count(prompt):
    """Tower with all mergers, decoder layers and output matrix; eager attention, which the counter can follow."""
    loaded = tiny_qwen3.model("eager")
    hf = loaded.backbone.hf
    with FlopCounterMode(display=False) as counter:
        hf(**tiny.as_inputs(prompt), logits_to_keep=1)
    for config in (hf.config, hf.config.to_dict()):
        shape = Shape.from_config(config, loaded.config)
        assert shape.vision.deepstack == tuple(tiny_qwen3.DEEPSTACK) and shape.text.head_width == 16
        visual = sum(grid.tokens for grid in prompt.grids)
        full = cost(shape, prompt.input_ids.shape[1], visual, 5, grids=prompt.grids).full
        assert full.vision == sum(
            sum(ops.values()) for name, ops in counter.get_flop_counts().items() if name.endswith(".visual")
        )
        assert full.prefill == counter.get_total_flops()


# ------------------------------------------------------------------------------------------------ mistakes


@torch.no_grad()
def masks_everywhere():
    """Random masks dropped before, between and after the layers of DeepStack."""
    loaded = tiny_qwen3.model()
    given = tiny.batch(loaded)
    for depth in (0, 1, 2):
        shallow = replace(loaded, config=replace(loaded.config, keep_layer=depth - 1))
        check_against_oracle(shallow, given, MaskPruner(shallow, tiny.random_masks(loaded, given), depth=depth)(given))


@torch.no_grad()
def glimpse_of_a_batch():
    """The predictor's mask, and its logits beside those of a glimpse that is put in by hand."""
    loaded = tiny_qwen3.model()
    given = tiny.batch(loaded)
    pruned = GlimpsePruner(loaded)(given)
    check_against_oracle(loaded, given, pruned)
    for row, (size, question) in enumerate([((140, 112), "Why so?"), ((84, 112), "And what is this thing here?")]):
        alone = GlimpsePruner(loaded)(tiny.prompt(loaded, size, question=question))
        torch.testing.assert_close(pruned.scores.logits[row], alone.scores.logits[0], atol=1e-4, rtol=1e-4)
    assert all(trace < 1e-6 for trace in glimpse_traces(loaded, given))


def glimpse_traces(loaded, given):
    """How far DeepStack moves the glimpse row: nothing is ever added to it."""
    seen, right = [], engine.advance

    def advance(text, prefix, stop, **options):
        if prefix.pending is not None:
            seen.append(float(prefix.pending[:, :, -1].abs().max()))
        return right(text, prefix, stop, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "advance", advance)
        GlimpsePruner(loaded)(given)
    return seen or [torch.inf]


def merged_alike():
    for check in (methods.test_visionzip, methods.test_vscan):
        check("qwen3", "one", 6, "common")


def video():
    with torch.no_grad():
        check_video(tiny_qwen3.model())


def times():
    test_a_slice_of_a_video_is_a_block_after_its_time(tiny_qwen3.model())


def features_of_other_tokens(patch):
    right = engine.keep

    def keep(prefix, kept, **options):
        found = right(prefix, kept, **options)
        return found if found.pending is None else replace(found, pending=found.pending.roll(1, dims=2))

    patch.setattr(state, "keep", keep)


def features_left_where_they_were(patch):
    right = engine.keep

    def keep(prefix, kept, **options):
        found = right(prefix, kept, **options)
        length = found.hidden.shape[1]
        return found if found.pending is None else replace(found, pending=prefix.pending[:, :, -length:])

    patch.setattr(state, "keep", keep)


def features_lost_at_a_stop(patch):
    patch.setattr(engine, "_after", lambda pending, layers: None)


def features_added_again_after_a_stop(patch):
    patch.setattr(engine, "_after", lambda pending, layers: pending)


def features_in_the_wrong_order(patch):
    right = Qwen3VL.deepstack
    patch.setattr(Qwen3VL, "deepstack", lambda self, out: right(self, out).flip(0))


def no_features(patch):
    patch.setattr(Qwen3VL, "deepstack", lambda self, out: None)


def glimpse_gets_a_feature(patch):
    shifted = SimpleNamespace(
        pad=lambda pending, sizes: functional.pad(pending, (0, 0, sizes[3], 0)), dropout=functional.dropout
    )
    patch.setattr(token, "functional", shifted)


def axes_swapped(patch):
    right = Qwen3VL.positions
    patch.setattr(Qwen3VL, "positions", lambda self, prompt: right(self, prompt)[[0, 2, 1]])


def one_axis(patch):
    right = Qwen3VL.positions
    patch.setattr(Qwen3VL, "positions", lambda self, prompt: right(self, prompt)[:1].expand(3, -1, -1))


def features_not_merged(patch):
    right = state.replace_embeddings

    def replaced(given, embeds, indices=None):
        found = right(given, embeds, indices)
        return replace(found, prefix=replace(found.prefix, pending=given.prefix.pending))

    for module in (methods.pruners.PRUNERS["visionzip"], methods.pruners.PRUNERS["vscan"]):
        patch.setattr(f"{module.__module__}.replace_embeddings", replaced)


def slices_counted_as_one_block(patch):
    right = Qwen3VL.positions

    def positions(self, prompt):
        found = right(self, prompt).clone()
        visual = self.visual(prompt)[0]
        found[0, 0, visual] = found[0, 0, visual][0]
        return found

    patch.setattr(Qwen3VL, "positions", positions)


def time_of_the_first_frame(patch):
    right = Qwen3Processor.place_video
    patch.setattr(
        Qwen3Processor, "place_video", lambda self, ids, config, slices, seconds, fps: right(
            self, ids, config, slices, seconds, 1 / seconds
        )
    )  # fmt: skip


def one_block_for_all_slices(patch):
    right = Qwen3Processor.place_video
    patch.setattr(
        Qwen3Processor, "place_video", lambda self, ids, config, slices, *rest: right(
            self, ids, config, [sum(slices)], *rest
        )
    )  # fmt: skip


MISTAKES = [
    (features_of_other_tokens, masks_everywhere),
    (features_left_where_they_were, masks_everywhere),
    (features_lost_at_a_stop, masks_everywhere),
    (features_added_again_after_a_stop, masks_everywhere),
    (features_in_the_wrong_order, masks_everywhere),
    (no_features, masks_everywhere),
    (axes_swapped, masks_everywhere),
    (one_axis, masks_everywhere),
    (glimpse_gets_a_feature, glimpse_of_a_batch),
    (features_not_merged, merged_alike),
    (slices_counted_as_one_block, video),
    (axes_swapped, video),
    (no_features, video),
    (time_of_the_first_frame, times),
    (one_block_for_all_slices, times),
]


@pytest.mark.parametrize("check", dict.fromkeys(check for _, check in MISTAKES), ids=lambda one: one.__name__)
def test_the_checks_pass(check):
    check()


@pytest.mark.parametrize(("mistake", "check"), MISTAKES, ids=lambda one: one.__name__)
def test_mistakes_are_noticed(mistake, check, monkeypatch):
    mistake(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        check()
