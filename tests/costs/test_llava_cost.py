"""What a question costs on LLaVA-1.5: the arithmetic against torch's own count of a real session."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from glimpse_core.costs.cost import Shape, cost
from glimpse_core.inference.session import Session
from tests.costs.test_cost import check_flops
from tests.support import tiny, tiny_llava


@pytest.mark.parametrize("changes", [{}, {"read_layers": (2, 0), "vip_type": "v2"}], ids=str)
def test_a_session_costs_exactly_what_is_predicted(changes):
    """Vision, trunk and VIP once; then a pruned and a full answer from them, first and second token."""
    model = tiny_llava.model("eager", **changes)
    with FlopCounterMode(display=False) as asked, sdpa_kernel(SDPBackend.MATH):
        session = Session(model, tiny.prompt(model, (80, 60), (60, 90)))
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    mask = check_flops(session, asked, shape)
    once = {"max_new_tokens": 1, "return_dict_in_generate": True}
    keys = model.backbone.hf.generate(**tiny.as_inputs(session._prompt), **once).past_key_values.layers
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in keys)
    assert stored == cost(shape, session.prompt_length, len(mask), 9, dtype=torch.float32).kv_bytes


@pytest.mark.parametrize(("size", "layers", "width"), [("7b", 32, 4096), ("13b", 40, 5120)])
def test_shapes_of_the_released_sizes(size, layers, width):
    """From a config as it is published: the vision tower and the rest of the sizes are transformers' defaults."""
    from transformers import LlavaConfig

    inner, heads = {"7b": (11008, 32), "13b": (13824, 40)}[size]
    text = dict(model_type="llama", vocab_size=32064, hidden_size=width, intermediate_size=inner)
    text |= dict(num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads)
    shape = Shape.from_config(LlavaConfig(text_config=text))
    assert (shape.vision.image_tokens, shape.vision.blocks, shape.vision.width) == (576, 24, 1024)
    costs = cost(shape, 640, 576, 64, keep_layer=21, dtype=torch.float16)
    assert costs.kv_bytes == 2 * 2 * layers * width * 640
    assert costs.kept_kv_bytes == 2 * 2 * layers * width * (640 - 576 + 64)
