"""The drop-in class on quantized base models. Neither package is required: torchao makes every import of transformers
slower, and bitsandbytes is large. Both tests were run by hand on a CPU, with the versions named below."""

from __future__ import annotations

import pytest
import torch
from transformers import BitsAndBytesConfig, TorchAoConfig

from glimpse_core.dropin import Qwen2_5_VL_GP_ForConditionalGeneration
from glimpse_core.pruners import NoPruner
from tests.support import oracle, tiny
from tests.support.tiny import as_inputs

GREEDY = dict(max_new_tokens=6, do_sample=False, eos_token_id=None)


def load(config, dtype):
    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(
        tiny.base_folder(), dtype=dtype, quantization_config=config, device_map="cpu"
    )
    model.load_new_modules(tiny.published_folder())
    return model.eval()


def check(model, dtype, exact):
    """The predictor stays as it was; keep-all is the stock answer; if exact, the pruned one is the oracle's."""
    prompt = tiny.prompt(tiny.model())
    inputs = as_inputs(prompt)
    assert {parameter.dtype for parameter in model.glimpse_model.vip.parameters()} == {dtype}
    whole = model.generate(**inputs, **GREEDY, pruner=NoPruner(model.glimpse_model))
    assert torch.equal(whole, model.generate(**inputs, **GREEDY, do_selection=False))
    with torch.inference_mode():
        (mask,) = model(**inputs, do_selection=True).image_token_bool_masks
    assert 0 < mask.sum() < len(mask)
    ids = model.generate(**inputs, **GREEDY, do_selection=True)[:, -6:]
    assert ids.shape == (1, 6)
    if exact:  # not where activations are rounded by what stands beside them
        kept = model.glimpse_model.backbone.keep_mask(prompt, (mask.clone(),))
        assert torch.equal(ids, oracle.answer(model, prompt, kept, model.glimpse_model.keep_depth, 6)[0])


@pytest.mark.filterwarnings("ignore")
def test_torchao_int8():
    quantization = pytest.importorskip("torchao.quantization", reason="torchao 0.18.0 is not installed")
    model = load(TorchAoConfig(quantization.Int8WeightOnlyConfig()), torch.float32)
    assert "Int8" in type(model.model.language_model.layers[0].self_attn.q_proj.weight).__name__
    check(model, torch.float32, exact=True)


@pytest.mark.filterwarnings("ignore")
def test_bitsandbytes_int8():
    pytest.importorskip("bitsandbytes", reason="bitsandbytes 0.50.2 is not installed")
    model = load(BitsAndBytesConfig(load_in_8bit=True), torch.bfloat16)
    assert "Int8" in type(model.model.language_model.layers[0].self_attn.q_proj.weight).__name__
    check(model, torch.bfloat16, exact=False)
