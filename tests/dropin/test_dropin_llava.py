"""LLaVA-1.5 under its published class name, called as published and as in transformers."""

from __future__ import annotations

import pytest
import torch

from glimpse_core.dropin import LlavaLlamaForCausalLM_GP
from glimpse_core.errors import GlimpseError
from glimpse_core.models import checkpoint
from glimpse_core.pruners import NoPruner
from tests.backbones.test_llava import GOLDEN
from tests.dropin.test_dropin import read
from tests.support import tiny, tiny_llava
from tests.support.tiny import as_inputs

GREEDY = dict(max_new_tokens=12, do_sample=False, eos_token_id=None)


def load(base, modules, **options):
    model = LlavaLlamaForCausalLM_GP.from_pretrained(base, dtype="float32", **options)
    model.load_new_modules(modules)
    return model.eval()


@torch.inference_mode()
@pytest.mark.parametrize("base", ["_base_original", "_base_hf"])
@pytest.mark.parametrize(("case", "attn"), [("a_single", "sdpa"), ("a_single", "eager"), ("b_cap", "sdpa")])
def test_the_official_tokens_and_masks(case, attn, base):
    given, expected = (read(GOLDEN / case / name) for name in ("inputs.npz", "expected.npz"))
    model = load(GOLDEN / base, GOLDEN / case / "new_modules", attn_implementation=attn)
    cap = {"b_cap": 0.111}.get(case)
    call = {"do_selection": True, "max_remain_ratio": cap}
    published = {"images": given["images"], "image_sizes": [(120, 80)], "attention_mask": given["attention_mask"]}
    ids = model.generate(given["input_ids"], **published, **GREEDY, **call)
    assert torch.equal(ids, expected["gen_ids_pruned"])
    unpruned = model.generate(given["input_ids"], images=given["images"], **GREEDY, do_selection=False)
    assert torch.equal(unpruned, expected["gen_ids_unpruned"])
    stock = {"input_ids": given["hf_input_ids"], "pixel_values": given["images"]}
    whole = model.generate(**stock, **GREEDY, **call)
    assert torch.equal(whole[:, given["hf_input_ids"].shape[1] :], ids)
    for inputs in ({"input_ids": given["input_ids"], **published}, stock):
        out = model(**inputs, **call)
        assert torch.equal(out.image_token_bool_masks[0], expected["mask_bool_0"])
        torch.testing.assert_close(
            out.image_token_mask_logits[0][-1:], expected["mask_logits_0"][-1:], atol=1e-4, rtol=0
        )
        wanted = expected["pruned_prefill_logits"]
        torch.testing.assert_close(out.logits[..., : wanted.shape[-1]], wanted, atol=1e-4, rtol=0)
        assert torch.equal(out.position_ids, expected["pruned_position_ids"])


@torch.inference_mode()
def test_batches_and_several_pictures_which_the_original_had_not(tmp_path):
    """Ids with -200 of two rows, one of them with two pictures, padded: as each alone."""
    engine = tiny_llava.model()
    checkpoint.save(tmp_path, engine.config, engine.glimpse, engine.vip)
    model = load(tiny_llava.original_folder(), tmp_path)
    one, two = [1, 9, -200, 20, 21, 22], [1, -200, 9, -200, 20, 21, 22, 23, 24]
    padded = torch.tensor([[0] * (len(two) - len(one)) + one, two])
    images = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    mask = (padded != 0).long()
    together = model.generate(padded, images=images, attention_mask=mask, **GREEDY)
    assert torch.equal(together[:1], model.generate(torch.tensor([one]), images=images[:1], **GREEDY))
    assert torch.equal(together[1:], model.generate(torch.tensor([two]), images=images[1:], **GREEDY))
    out = model.generate(padded, images=images, attention_mask=mask, **GREEDY, return_dict_in_generate=True)
    assert torch.equal(out.sequences, together)


def test_it_is_the_stock_class_otherwise():
    engine = tiny_llava.model()
    prompt = tiny.prompt(engine)
    model = LlavaLlamaForCausalLM_GP.from_pretrained(tiny_llava.base_folder(), dtype="float32")
    inputs = as_inputs(prompt)
    wanted = engine.backbone.hf.generate(**inputs, **GREEDY)
    assert torch.equal(model.generate(**inputs, **GREEDY), wanted)
    assert torch.equal(model.generate(**inputs, **GREEDY, pruner=NoPruner(model.glimpse_model)), wanted)


def test_what_does_not_fit_is_refused():
    with pytest.raises(GlimpseError, match="is a qwen2_5_vl model. Expected llava"):
        LlavaLlamaForCausalLM_GP.from_pretrained(tiny.base_folder())
    model = LlavaLlamaForCausalLM_GP.from_pretrained(tiny_llava.base_folder(), dtype="float32")
    with pytest.raises(GlimpseError, match="hidden_size|num_hidden_layers|num_attention_heads|image_token|model_type"):
        model.load_new_modules(tiny.published_folder())
    ids, images = torch.tensor([[1, -200, 5]]), torch.zeros(1, 3, 56, 56)
    with pytest.raises(GlimpseError, match="labels"):
        model(ids, images=images, labels=ids)
    with pytest.raises(GlimpseError, match="-200, which stands for an image"):
        model.generate(ids)
    assert torch.equal(model.generate(ids, images=list(images), **GREEDY), model.generate(ids, images=images, **GREEDY))
