"""The predictor against a slow version of itself: one mask over all tokens instead of groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from glimpse_core.backbones.layout import Layout
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import vip as vip_module
from glimpse_core.glimpse.vip import VIP, mean_attention, rotate, rotations
from tests.support import tiny

HEADS, VISION = 4, 32


def build(**changes):
    vip = VIP(replace(tiny.CONFIG, **changes), HEADS, VISION)
    tiny.randomize(vip, seed=3)
    return vip.eval()


def inputs(count, layers=2, reads=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, reads * HEADS, generator=generator), torch.randn(
        layers, count, VISION, generator=generator
    )


def slowly(vip, attention, conditions, cells, group):
    """Raster order throughout; `group` (N,) says who sees whom."""
    x = vip.attention_in(attention)
    see = group[:, None] == group[None]
    for i, layer in enumerate(vip.layers):
        u = layer.norm1(x)
        both = torch.cat([u, vip.condition_in[i](conditions[i])], -1) if vip.condition_in else u
        size = layer.attn.head_size
        q, k = ((part(both)).view(len(x), -1, size).transpose(0, 1) for part in (layer.attn.q_proj, layer.attn.k_proj))
        rotation = rotations(cells, size, x.device)
        scores = rotate(q, rotation) @ rotate(k, rotation).mT / size**0.5
        v = layer.attn.v_proj(u).view(len(x), layer.attn.heads, -1).transpose(0, 1)
        mixed = scores.masked_fill(~see, -torch.inf).softmax(-1) @ v
        x = x + layer.attn.o_proj(mixed.transpose(0, 1).flatten(1))
        n = layer.norm2(x)
        mlp = layer.mlp
        x = x + mlp.down_proj(functional.silu(mlp.gate_proj(n)) * mlp.up_proj(n))
    return vip.outputs[-1](x)[:, 0]


@pytest.mark.parametrize("vip_type", ["v1", "v2"])
@pytest.mark.parametrize("whole", [True, False])
def test_groups_equal_one_masked_attention(vip_type, whole):
    model = tiny.model()
    prompt = tiny.prompt(model, (140, 112), (84, 140))
    layout = model.backbone.layout(prompt, whole=whole)
    count = len(layout.cells)
    order = torch.arange(count) if layout.order is None else layout.order
    group = torch.empty(count, dtype=torch.long)
    group[order] = torch.repeat_interleave(torch.arange(len(layout.lengths)), torch.tensor(layout.lengths))
    assert len(layout.lengths) == 2 if whole else len(layout.lengths) > 4
    vip = build(vip_type=vip_type)
    attention, conditions = inputs(count)
    with torch.no_grad():
        fast = vip(attention, conditions, layout)
        slow = slowly(vip, attention, conditions, layout.cells, group)
    torch.testing.assert_close(fast[0], slow, atol=1e-5, rtol=1e-5)


def test_cells_count_rows_and_columns_of_every_image():
    model = tiny.model()
    cells = model.backbone.layout(tiny.prompt(model, (84, 56), (56, 84))).cells.tolist()
    assert cells[:6] == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert cells[6:] == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]


def test_window_groups_are_the_towers_windows():
    model = tiny.model()
    layout = model.backbone.layout(tiny.prompt(model, (140, 112)), whole=False)  # 4 x 5 tokens, windows of 2 x 2
    assert layout.lengths == (4, 4, 2, 4, 4, 2)
    assert layout.order[:4].tolist() == [0, 1, 5, 6]


def test_deep_supervision_speaks_in_training_only():
    vip, layout = build(deep_supervision=True), Layout(torch.zeros(5, 2, dtype=torch.long), (5,))
    attention, conditions = inputs(5)
    with torch.no_grad():
        quiet, loud = vip(attention, conditions, layout), vip.train()(attention, conditions, layout)
    assert quiet.shape == (1, 5)
    assert loud.shape == (2, 5)
    assert torch.equal(quiet[0], loud[1])


def test_without_deep_supervision_only_the_last_layer_has_an_output():
    assert [name for name in build().state_dict() if name.startswith("outputs")] == [
        "outputs.1.weight",
        "outputs.1.bias",
    ]


def test_attention_supervision_speaks_outside_training_and_decides_nothing():
    layout = Layout(torch.zeros(5, 2, dtype=torch.long), (5,))
    attention, conditions = inputs(5)
    with torch.no_grad():
        plain = build()(attention, conditions, layout)
        vip = build(attention_supervision=True)
        both = vip(attention, conditions, layout)
        assert vip.train()(attention, conditions, layout).shape == (1, 5)
    assert torch.equal(both[-1], plain[0])


@pytest.mark.parametrize("are_logits", [True, False])
def test_mean_attention_is_scaled_within_every_image(are_logits):
    attention = inputs(7)[0].log_softmax(0)
    scaled = mean_attention(attention, (4, 3), are_logits)
    for part, raw in zip(scaled.split((4, 3)), attention.mean(-1).split((4, 3)), strict=True):
        weights = raw.exp() / raw.exp().sum() if are_logits else raw.exp()
        expected = (weights - weights.min()) / (weights.max() - weights.min() + 1e-6)
        torch.testing.assert_close(part, expected)


def test_several_read_layers_and_repeated_ones():
    vip, layout = build(read_layers=(2, 1, 2)), Layout(torch.zeros(5, 2, dtype=torch.long), (5,))
    assert vip(*inputs(5, reads=3), layout).shape == (1, 5)


@pytest.mark.parametrize(
    "changes", [dict(vip_heads=3), dict(vip_size=6, vip_condition_size=6), dict(vip_activation="x")]
)
def test_impossible_sizes_are_named(changes):
    with pytest.raises(GlimpseError, match="attn_fuse"):
        VIP(replace(tiny.CONFIG, **changes), HEADS, VISION)


def test_rotation_turns_by_place():
    """Two axes: the product of a rotated query and key depends on the difference of their cells only."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 1, 16, generator=generator), torch.randn(1, 1, 16, generator=generator)

    def product(at, to):
        turned = [rotate(x, rotations(torch.tensor([c]), 16, x.device)) for x, c in ((q, at), (k, to))]
        return float((turned[0] * turned[1]).sum())

    assert product([2, 5], [4, 1]) == pytest.approx(product([7, 9], [9, 5]), abs=1e-5)
    assert product([2, 5], [4, 1]) != pytest.approx(product([5, 2], [1, 4]), abs=1e-3)


def test_attention_in_pieces_is_attention(monkeypatch):
    """On a CPU a few queries are scored at a time; with 3 rows at a time the result is that of torch."""
    query, key, value = torch.randn(2, 10, 8), torch.randn(2, 10, 8), torch.randn(2, 10, 4)
    monkeypatch.setattr(vip_module, "SCORE_BYTES", 3 * 10 * 4)
    wanted = torch.nn.functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]
    torch.testing.assert_close(vip_module.attend(query, key, value), wanted, atol=1e-6, rtol=1e-5)
