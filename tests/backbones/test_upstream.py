"""What this package leans on in transformers, one fact per test: after an upgrade, a failure says what to look at."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoTokenizer,
    DynamicCache,
    GenerationMixin,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)
from transformers.cache_utils import DynamicLayer
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.integrations import flash_attention
from transformers.masking_utils import create_causal_mask
from transformers.vision_utils import get_vision_window_index

import glimpse_core.dropin  # noqa: F401 - registers its classes
from glimpse_core.engine.attention import PROBED, Probe
from glimpse_core.engine.windows import WINDOWED
from tests.support import tiny
from tests.support.tiny import as_inputs


@pytest.fixture(scope="module")
def hf():
    return tiny.model().backbone.hf


@pytest.fixture(scope="module")
def prompt():
    return tiny.prompt(tiny.model(), (140, 112), (84, 140))


def generated(hf, prompt, **options):
    return hf.generate(**as_inputs(prompt), max_new_tokens=2, eos_token_id=None, **options)


# ------------------------------------------------------------------------------------------------ generate


@pytest.mark.parametrize("loop", ["_sample", "_beam_search"])
def test_generation_loops_prefill_through_one_method(loop):
    assert "self._prefill(" in inspect.getsource(getattr(GenerationMixin, loop))
    wanted = ["self", "input_ids", "generation_config", "model_kwargs", "is_first_iteration"]
    assert list(inspect.signature(GenerationMixin._prefill).parameters) == wanted


def test_generate_hands_raw_pictures_to_one_method(hf, prompt, monkeypatch):
    seen = {}

    def encode(self, model_kwargs):
        seen.update(model_kwargs)
        raise InterruptedError

    monkeypatch.setattr(GenerationMixin, "_prepare_multimodal_encoder_kwargs_for_generation", encode)
    with pytest.raises(InterruptedError):
        generated(hf, prompt)
    assert {"pixel_values", "image_grid_thw"} <= set(seen)


def test_generate_gives_the_prefill_its_own_dict_and_leaves_foreign_values_alone(hf, prompt, monkeypatch):
    """A value that is no tensor is not repeated for beams, and what the prefill takes out is not seen again."""
    mark, met = object(), []
    stock_encode = GenerationMixin._prepare_multimodal_encoder_kwargs_for_generation
    stock_prefill = GenerationMixin._prefill

    def encode(self, model_kwargs):
        return {**stock_encode(self, model_kwargs), "mark": mark}

    def prefill(self, input_ids, generation_config, model_kwargs, is_first_iteration=True):
        met.append(model_kwargs.pop("mark"))
        return stock_prefill(self, input_ids, generation_config, model_kwargs, is_first_iteration)

    monkeypatch.setattr(GenerationMixin, "_prepare_multimodal_encoder_kwargs_for_generation", encode)
    monkeypatch.setattr(GenerationMixin, "_prefill", prefill)
    generated(hf, prompt, num_beams=2)
    assert met == [mark]


def test_generate_counts_on_from_the_last_position_and_mask_column(hf):
    given = {"position_ids": torch.tensor([[[3, 9]]] * 3), "attention_mask": torch.tensor([[0, 1]])}
    grown = hf._update_model_kwargs_for_generation({}, given)
    assert grown["position_ids"].tolist() == [[[3, 9, 10]]] * 3
    assert grown["attention_mask"].tolist() == [[0, 1, 1]]


def test_generate_slices_positions_to_the_new_token(hf):
    ids, positions = torch.tensor([[5, 6, 7]]), torch.arange(9).view(3, 1, 3)
    inputs = hf.prepare_inputs_for_generation(ids, next_sequence_length=1, position_ids=positions)
    assert inputs["position_ids"].tolist() == [[[2]], [[5]], [[8]]]


def test_generate_drops_a_mask_without_padding(hf, prompt, monkeypatch):
    monkeypatch.setattr(GenerationMixin, "_prefill", lambda *args, **kwargs: (_ for _ in ()).throw(_Seen(args[3])))
    with pytest.raises(_Seen) as seen:
        generated(hf, prompt)
    assert seen.value.args[0]["attention_mask"] is None


class _Seen(Exception):
    pass


def test_assisted_decoding_is_looked_up_on_the_class(hf, prompt, monkeypatch):
    monkeypatch.setattr(GenerationMixin, "_assisted_decoding", lambda *args, **kwargs: "refused")
    assert generated(hf, prompt, prompt_lookup_num_tokens=2) == "refused"


def test_unknown_arguments_are_refused_by_one_method_that_gets_a_copy(hf, prompt, monkeypatch):
    """Why `pruner` can travel with generate's arguments."""
    seen = []
    monkeypatch.setattr(GenerationMixin, "_validate_model_kwargs", lambda self, given: seen.append(given.pop("mark")))
    monkeypatch.setattr(GenerationMixin, "_prefill", lambda *args, **kwargs: (_ for _ in ()).throw(_Seen(args[3])))
    mark = object()
    with pytest.raises(_Seen) as met:
        generated(hf, prompt, mark=mark)
    assert seen == [met.value.args[0]["mark"]] == [mark]


def test_generate_repeats_rows_for_beams_and_several_sequences(hf, prompt, monkeypatch):
    """By the larger of the two numbers, every row next to its copies."""
    monkeypatch.setattr(GenerationMixin, "_prefill", lambda *args, **kwargs: (_ for _ in ()).throw(_Seen(args[1])))
    with pytest.raises(_Seen) as seen:
        generated(hf, prompt, num_beams=3, num_return_sequences=2)
    assert torch.equal(seen.value.args[0], prompt.input_ids.repeat_interleave(3, dim=0))


def test_older_names_of_weights_are_translated_by_the_name_of_the_class(hf):
    """Why the drop-in classes are registered: a class unknown to transformers would start with random numbers."""
    assert get_checkpoint_conversion_mapping(type(hf).__name__)
    assert get_checkpoint_conversion_mapping("Qwen2_5_VL_GP_ForConditionalGeneration") is not None


# ------------------------------------------------------------------------------------------------ caches and masks


def test_cache_layers_rebind_and_never_write_in_place():
    layer = DynamicLayer()
    first = torch.ones(1, 2, 3, 4)
    layer.update(first, first)
    before, copy = layer.keys, layer.keys.clone()
    layer.update(first, first)
    layer.crop(-2)
    assert layer.keys is not before
    assert torch.equal(before, copy)


def test_crop_removes_and_refuses_a_length():
    layer = DynamicLayer()
    layer.update(torch.ones(1, 2, 5, 4), torch.ones(1, 2, 5, 4))
    layer.crop(-2)
    assert layer.get_seq_length() == 3
    with pytest.raises(ValueError, match="positive"):
        layer.crop(2)


def test_a_cache_has_all_layers_from_the_start(hf):
    cache = DynamicCache(config=hf.config)
    assert [type(layer) for layer in cache.layers] == [DynamicLayer] * tiny.LAYERS


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_masks_are_sized_by_the_layer_that_is_named(attn):
    text = tiny.model(attn).backbone.text
    cache = DynamicCache(config=text.config)
    cache.layers[0].update(torch.ones(2, 2, 7, 8), torch.ones(2, 2, 7, 8))
    hidden, real = torch.zeros(2, 7, 32), torch.ones(2, 7, dtype=torch.bool)
    real[0, :3] = False
    assert create_causal_mask(text.config, hidden, real, cache, layer_idx=1).shape[-2:] == (7, 7)
    grown = torch.cat([real, real], 1)
    assert create_causal_mask(text.config, hidden, grown, cache, layer_idx=0).shape[-2:] == (7, 14)


def test_sdpa_needs_no_mask_without_padding():
    text = tiny.model("sdpa").backbone.text
    cache = DynamicCache(config=text.config)
    assert create_causal_mask(text.config, torch.zeros(1, 7, 32), None, cache, layer_idx=2) is None


def test_a_short_row_behind_a_filled_cache_sees_all_of_it():
    """What training and continued decoding need: query rows aligned to the end of the keys."""
    text = tiny.model("sdpa").backbone.text
    cache = DynamicCache(config=text.config)
    cache.layers[0].update(torch.ones(1, 2, 4, 8), torch.ones(1, 2, 4, 8))
    mask = create_causal_mask(text.config, torch.zeros(1, 2, 32), None, cache, layer_idx=0)
    assert mask[0, 0].tolist() == [[True] * 5 + [False], [True] * 6]


# ------------------------------------------------------------------------------------------------ decoder


def test_a_decoder_layer_returns_a_tensor_and_hands_extra_arguments_to_its_attention(hf):
    text, probe = hf.model.language_model, Probe(frozenset({1}))
    hidden, positions = torch.randn(1, 3, 32), torch.arange(3).expand(3, 1, 3)
    with torch.no_grad():
        out = text.layers[1](hidden, position_embeddings=text.rotary_emb(hidden, positions), probe=probe)
    assert out.shape == hidden.shape
    assert probe.logits[1].shape == (1, 4, 3)


def test_attention_is_chosen_by_name_for_the_decoder_alone(hf):
    assert hf.model.language_model.config._attn_implementation == PROBED["sdpa"]
    assert hf.model.visual.config._attn_implementation == WINDOWED["sdpa"]
    for name in PROBED.values():
        assert name in AttentionInterface()
        assert name in AttentionMaskInterface()


def test_eager_attention_is_a_function_of_the_modeling_file(hf):
    attention = type(hf.model.language_model.layers[0].self_attn)
    assert callable(sys.modules[attention.__module__].eager_attention_forward)


def test_an_attention_layer_knows_its_number_and_key_groups(hf):
    layer = hf.model.language_model.layers[3].self_attn
    assert (layer.layer_idx, layer.num_key_value_groups, layer.is_causal) == (3, 2, True)


def test_flash_attention_reads_these_fields_of_its_module(monkeypatch):
    """The stand-in module that `attention._flash` shows to it has no other fields."""
    from glimpse_core.engine import attention

    given = {}

    def kernel(query, key, value, mask, **kwargs):
        given.update(kwargs)
        return query

    monkeypatch.setattr(flash_attention, "_flash_attention_forward", kernel)
    module = tiny.model().backbone.text.layers[2].self_attn
    tensor = torch.zeros(1, 4, 3, 8)
    for dtype in (torch.float16, torch.float32):
        out, _ = attention._flash(module, tensor.to(dtype), tensor.to(dtype), tensor.to(dtype), None, scaling=0.5)
        assert out.shape == (1, 3, 4, 8)
        assert given["attn_implementation"] == "flash_attention_2"
        assert given["layer_idx"] == 2
    packed = SimpleNamespace(  # as bitsandbytes has it
        config=SimpleNamespace(dtype=torch.bfloat16),
        q_proj=SimpleNamespace(weight=torch.zeros(4, dtype=torch.uint8)),
        is_causal=True,
        layer_idx=2,
    )
    attention._flash(packed, tensor, tensor, tensor, None, scaling=0.5)
    assert given["target_dtype"] == torch.bfloat16


def test_rotary_embedding_takes_three_axes(hf):
    rotary = hf.model.language_model.rotary_emb
    cosine, sine = rotary(torch.zeros(2, 5, 32), torch.arange(30).view(3, 2, 5))
    assert cosine.shape == sine.shape == (2, 5, 8)


def test_the_head_reads_the_normed_last_layer(hf, prompt):
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7]])
        hidden = hf.model(input_ids=ids).last_hidden_state
        assert torch.equal(hf.lm_head(hidden), hf(input_ids=ids).logits)


# ------------------------------------------------------------------------------------------------ vision, positions


def test_positions_are_computed_without_a_trace(hf, prompt):
    hf.model.rope_deltas = None
    hf.model.get_rope_index(prompt.input_ids, prompt.mm_token_type_ids, prompt.image_grid_thw)
    assert hf.model.rope_deltas is None


def test_without_token_types_positions_are_silently_one_dimensional(hf, prompt):
    """Why `mm_token_type_ids` is always made here."""
    inputs = {"input_ids": prompt.input_ids, "image_grid_thw": prompt.image_grid_thw}
    positions = hf._prepare_position_ids_for_generation(prompt.input_ids, inputs)
    assert torch.equal(positions[1], positions[3])


def test_text_behind_a_picture_has_equal_positions_on_all_axes(hf, prompt):
    positions, _ = hf.model.get_rope_index(prompt.input_ids, prompt.mm_token_type_ids, prompt.image_grid_thw)
    last = positions[:, 0, -4:]
    assert torch.equal(last, last[:1].expand(3, -1))


def test_chosen_hidden_states_of_the_vision_tower(hf, prompt):
    """A list chooses; index 0 is what enters block 0; the others are None; the last one is not normed."""
    with torch.no_grad():
        out = hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, output_hidden_states=[2, 4])
    assert [state is not None for state in out.hidden_states] == [False, False, True, False, True]
    assert torch.equal(out.hidden_states[4], out.last_hidden_state)


def test_hidden_states_are_patches_in_window_order(hf, prompt):
    """Four patches per token; the merger's rows in raster order are the image features, split by picture."""
    with torch.no_grad():
        out = hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, output_hidden_states=[4])
        merged = hf.model.visual.merger(out.hidden_states[4])
    order, edges = get_vision_window_index(prompt.image_grid_thw, spatial_merge_size=2, window_size=56, patch_size=14)
    assert [len(part) for part in out.pooler_output] == [grid.tokens for grid in prompt.grids]
    assert torch.equal(merged[order.argsort()], torch.cat(list(out.pooler_output)))
    assert not torch.equal(order, torch.arange(len(order))), "a picture of one window tests nothing"
    assert int(edges[-1]) == 4 * len(order)


# ------------------------------------------------------------------------------------------------ processing


def test_the_pillow_processor_resizes_to_multiples_of_28():
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 50176})
    out = processor(images=[np.zeros((100, 3, 3), np.uint8)], return_tensors="pt", input_data_format="channels_last")
    _, rows, cols = out["image_grid_thw"][0].tolist()
    assert rows % 2 == cols % 2 == 0
    assert out["pixel_values"].shape == (rows * cols, 3 * 2 * 14 * 14)


def test_special_tokens_can_be_read_as_plain_text():
    tokenizer = AutoTokenizer.from_pretrained(tiny.base_folder())
    text = "a<|image_pad|>b"
    assert len(tokenizer.encode(text, add_special_tokens=False)) == 3
    plain = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") not in plain
    assert tokenizer.decode(plain) == text


def test_attention_can_be_named_per_part(tmp_path):
    hf = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tiny.base_folder(), attn_implementation={"": "eager", "text_config": "eager", "vision_config": "sdpa"}
    )
    assert hf.model.language_model.config._attn_implementation == "eager"
    assert hf.model.visual.config._attn_implementation == "sdpa"
