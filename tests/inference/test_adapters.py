"""The drop-in class under PEFT adapters."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, TaskType, get_peft_model

from glimpse_core.dropin import Qwen2_5_VL_GP_ForConditionalGeneration
from glimpse_core.errors import GlimpseError
from tests.support import oracle, tiny
from tests.support.tiny import as_inputs

# peft still asks transformers for a name that has a successor.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
GREEDY = dict(max_new_tokens=6, do_sample=False, eos_token_id=None)
CONFIG = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)


def load():
    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(tiny.base_folder(), dtype="float32")
    model.load_new_modules(tiny.published_folder())
    return model.eval()


@pytest.fixture(scope="module")
def prompt():
    return tiny.batch(tiny.model())


@pytest.fixture(scope="module")
def inputs(prompt):
    return as_inputs(prompt)


@pytest.fixture
def adapted():
    """A LoRA adapter with random weights on the decoder and the tower; the predictor has layers of the same names."""
    torch.manual_seed(0)
    return get_peft_model(load(), CONFIG).eval()


@torch.inference_mode()
def test_an_adapter_changes_the_base_and_leaves_the_glimpse_modules_alone(adapted, inputs):
    plain = load()
    names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
    assert names
    assert not any("vip" in name for name in names)
    assert len(list(adapted.glimpse_model.vip.parameters())) == len(list(plain.glimpse_model.vip.parameters()))
    ids = adapted.generate(**inputs, **GREEDY, do_selection=True)
    assert not torch.equal(ids, plain.generate(**inputs, **GREEDY))
    with adapted.disable_adapter():
        assert torch.equal(adapted.generate(**inputs, **GREEDY), plain.generate(**inputs, **GREEDY))


def test_the_adapted_answer_is_the_oracles(adapted, prompt, inputs):
    """On the merged weights, with the masks of the adapted model."""
    with torch.inference_mode():
        masks = adapted(**inputs, do_selection=True).image_token_bool_masks
    ids = adapted.generate(**inputs, **GREEDY, do_selection=True)
    merged = adapted.merge_and_unload()
    model = merged.glimpse_model
    kept = model.backbone.keep_mask(prompt, tuple(mask.clone() for mask in masks))
    wanted, _ = oracle.answer(merged, prompt, kept, model.keep_depth, 6)
    assert torch.equal(ids[:, prompt.input_ids.shape[1] :], wanted)
    assert torch.equal(merged.generate(**inputs, **GREEDY, do_selection=True), ids)


def test_looking_without_the_adapter_and_answering_with_it(adapted, prompt, inputs):
    """How the published evaluation runs adapters that were trained behind the glimpse."""
    plain = load()
    with torch.inference_mode(), adapted.disable_adapter():
        masks = adapted(**inputs, return_dict=True).image_token_bool_masks
    assert all(map(torch.equal, masks, plain(**inputs).image_token_bool_masks))
    ids = adapted.generate(**inputs, **GREEDY, do_selection=True, use_ref_masks=True, ref_token_masks=list(masks))
    model = adapted.glimpse_model
    kept = model.backbone.keep_mask(prompt, tuple(mask.clone() for mask in masks))
    wanted, _ = oracle.answer(adapted.merge_and_unload(), prompt, kept, model.keep_depth, 6)
    assert torch.equal(ids[:, prompt.input_ids.shape[1] :], wanted)


def test_a_saved_adapter_on_a_fresh_model(adapted, inputs, tmp_path):
    adapted.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(load(), tmp_path).eval()
    assert torch.equal(again.generate(**inputs, **GREEDY), adapted.generate(**inputs, **GREEDY))
    late = PeftModel.from_pretrained(
        Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(tiny.base_folder(), dtype="float32"), tmp_path
    ).eval()
    late.load_new_modules(tiny.published_folder())  # reaches the model under the adapter
    assert torch.equal(late.generate(**inputs, **GREEDY), adapted.generate(**inputs, **GREEDY))


def test_the_adapter_interface_of_transformers(inputs):
    model = load()
    before = model.generate(**inputs, **GREEDY)
    torch.manual_seed(0)
    model.add_adapter(CONFIG)
    assert not torch.equal(model.eval().generate(**inputs, **GREEDY), before)
    model.disable_adapters()
    assert torch.equal(model.generate(**inputs, **GREEDY), before)


@pytest.mark.parametrize("kind", [PrefixTuningConfig, PromptTuningConfig])
def test_adapters_that_bring_tokens_of_their_own_are_refused(inputs, kind):
    own = kind(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3, token_dim=32, num_layers=5, num_attention_heads=2)
    model = get_peft_model(load(), own).eval()
    for run in (model, lambda **given: model.generate(**given, **GREEDY)):
        with pytest.raises(GlimpseError, match="tokens of its own|inputs_embeds|past_key_values"):
            run(**inputs, do_selection=True)
