"""Facts about transformers' LLaVA that this package leans on; each test names one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaImageProcessorPil

from tests.support import tiny, tiny_llava


@pytest.fixture(scope="module")
def seen():
    """The model, a prompt with two pictures, and its vision output with all hidden states."""
    model = tiny_llava.model()
    prompt = tiny.prompt(model, (80, 60), (60, 60))
    with torch.no_grad():
        out = model.backbone.hf.model.get_image_features(prompt.pixel_values, output_hidden_states=[0, 1, 2, 3, 4, -2])
    return model.backbone.hf, prompt, out


def test_features_are_the_projected_patches_of_the_layer_before_the_last(seen):
    """Counted from the tower's input; row 0 of every picture is the class token. No norm is applied."""
    hf, _, out = seen
    assert hf.config.vision_feature_layer == -2
    assert [tuple(state.shape) for state in out.hidden_states] == [(2, 17, 32)] * 5
    wanted = hf.model.multi_modal_projector(out.hidden_states[3][:, 1:])
    assert torch.equal(torch.stack(list(out.pooler_output)), wanted)


def test_hidden_state_0_is_what_enters_the_first_block(seen):
    hf, prompt, out = seen
    tower = hf.model.vision_tower
    entering = tower.pre_layrnorm(tower.embeddings(prompt.pixel_values))
    assert torch.equal(out.hidden_states[0], entering)
    assert torch.equal(out.hidden_states[1], tower.encoder.layers[0](entering, attention_mask=None))


def test_the_last_hidden_state_is_not_normalized(seen):
    hf, _, out = seen
    assert torch.equal(out.hidden_states[4], out.last_hidden_state)
    assert not torch.equal(hf.model.vision_tower.post_layernorm(out.last_hidden_state), out.hidden_states[4])


def test_a_selection_of_hidden_states_must_name_the_feature_layer(seen):
    """Why `Llava.encode_images` always asks for it."""
    hf, prompt, _ = seen
    with pytest.raises(TypeError):
        hf.model.get_image_features(prompt.pixel_values, output_hidden_states=[1])


def test_the_conversions_image_processor_would_crop_unless_told_to_pad():
    image = np.asarray(Image.new("RGB", (112, 56), "white"))
    sides = [
        LlavaImageProcessorPil.from_pretrained(tiny_llava.base_folder(), do_pad=pad)(
            images=[image], return_tensors="pt", input_data_format="channels_last"
        )["pixel_values"]
        for pad in (False, True)
    ]
    assert [tuple(pixels.shape) for pixels in sides] == [(1, 3, 56, 56)] * 2
    assert sides[0].std(dim=(2, 3)).max() == 0  # nothing but white is left
    assert sides[1][0, :, 0, 0].abs().max() < 0.02  # the mean color, which normalization takes to zero


def test_weights_may_be_handed_over_under_the_conversions_names(seen):
    hf, _, _ = seen
    config = LlavaConfig.from_pretrained(tiny_llava.base_folder())
    tensors = {}
    for name, tensor in hf.state_dict().items():
        name = name.replace("model.language_model.", "language_model.model.").removeprefix("model.")
        name = name.replace("lm_head", "language_model.lm_head")
        tensors[name.replace("vision_tower.", "vision_tower.vision_model.")] = tensor
    _, loaded = LlavaForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=tensors, output_loading_info=True
    )
    assert not any(loaded.values())
