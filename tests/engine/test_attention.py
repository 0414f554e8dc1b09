"""The probe reads what attention computes, and changes nothing."""

from __future__ import annotations

import pytest
import torch

from glimpse_core.engine.attention import Probe
from glimpse_core.engine.prefix import advance
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.look import trunk, visual_attention
from glimpse_core.glimpse.token import append
from tests.support import tiny


@torch.no_grad()
@pytest.mark.parametrize("rows", [None, 7])
@pytest.mark.parametrize("layer", [0, 2])
def test_softmax_of_what_is_read_is_the_models_own_attention(layer, rows):
    model = tiny.model("eager")
    prompt = tiny.prompt(model)
    start = model.backbone.start(prompt, model.backbone.encode_images(prompt))
    weights = {}
    hook = model.backbone.text.layers[layer].self_attn.register_forward_hook(
        lambda *given: weights.update(w=given[2][1])
    )
    probe = Probe(frozenset({layer}), None if rows is None else torch.tensor([rows]))
    advance(model.backbone.text, start, layer + 1, probe=probe)
    hook.remove()
    row = -1 if rows is None else rows
    seen = probe.logits[layer] if rows is None else probe.logits[layer][..., : rows + 1]  # the row's causal part
    own = weights["w"][:, :, row, : seen.shape[-1]]
    torch.testing.assert_close(seen.softmax(-1), own, atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_reading_changes_nothing(attn):
    model = tiny.model(attn)
    prompt = tiny.batch(model)
    runs = []
    for probe in (None, Probe(frozenset({0, 1, 2}))):
        start = model.backbone.start(prompt, model.backbone.encode_images(prompt))
        runs.append(advance(model.backbone.text, start, 3, probe=probe).hidden)
    assert torch.equal(*runs)


@torch.no_grad()
def test_only_the_named_layers_are_read():
    model = tiny.model()
    prompt = tiny.prompt(model)
    probe = Probe(frozenset({1}))
    advance(model.backbone.text, model.backbone.start(prompt, model.backbone.encode_images(prompt)), 3, probe=probe)
    assert set(probe.logits) == {1}


@torch.no_grad()
def test_log_probabilities_count_every_key_but_padding():
    """Text, pictures and the glimpse token itself share the mass; padding has none."""
    model = tiny.model(read_logits=False)
    prompt = tiny.batch(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    prefix, probe = trunk(model, prompt, vision)
    padding = append(model.backbone.start(prompt, vision), model.glimpse()[0]).padding
    got = visual_attention(model, prompt, probe, padding)
    raw = probe.logits[2]
    expected = raw.masked_fill(~padding[:, None], -torch.inf).log_softmax(-1).transpose(1, 2)[:, :-1]
    torch.testing.assert_close(got, expected[model.backbone.visual(prompt)])
    assert padding.shape[1] == raw.shape[-1] == prefix.hidden.shape[1] + 1


@torch.no_grad()
def test_a_layer_that_was_not_read_is_named():
    model = tiny.model()
    prompt = tiny.prompt(model)
    with pytest.raises(GlimpseError, match=r"layers \[2\]"):
        visual_attention(model, prompt, Probe(frozenset({2})), None)
