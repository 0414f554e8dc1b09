"""What choosing costs, against torch's count of a whole pruned prefill: layers by their tokens, and the choice."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from glimpse_core.costs.flops import prefill_layer
from glimpse_core.inference.decoding import finish
from tests.glimpse.test_oracle import MODELS
from tests.pruners.test_every_pruner import made
from tests.support import tiny

NAMES = ("hawk", "v2drop", "visionselector", "ivcprune")
# IVC-Prune is charged for all text, as if it asked; text before the last image does not, nor the two tokens after it.
UNCOUNTED = {"ivcprune": lambda prompt, visual: int((~visual)[: int(visual.nonzero()[-1])].sum()) + 2}


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("name", NAMES)
def test_a_selector_costs_what_torch_counts(family, name):
    model = MODELS[family]()
    prompt = tiny.prompt(model, (140, 112), (112, 84))
    pruner = made(model, name, ratio=0.3)
    vision = model.backbone.encode_images(prompt)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        pruned = pruner(prompt, vision)
        branch = finish(model.backbone, pruned.branch)
    (plan,), length = pruned.schedules, prompt.input_ids.shape[1]
    text = model.shape.text
    layers = sum(prefill_layer(text, length - plan.total + tokens, "full") for tokens in plan.alive)
    assert [length - plan.total + tokens for tokens in plan.alive] == list(branch.processed)
    words = length - UNCOUNTED.get(name, lambda prompt, visual: 0)(prompt, model.backbone.visual(prompt)[0])
    assert counter.get_total_flops() == layers + pruner.selector_flops(model.shape, words, plan.total)
