"""The vision tower without flash attention: windows of equal length in one call, with the stock function's numbers."""

from __future__ import annotations

import pytest
import torch
from transformers import AttentionInterface, Qwen2_5_VLForConditionalGeneration

from glimpse_core.engine import windows
from glimpse_core.engine.windows import WINDOWED, runs
from tests.support import tiny

SIZES = [[(140, 112)], [(112, 112)], [(28, 28)], [(308, 196), (84, 140), (28, 140)]]


def towers(attn: str):
    """The tower as it is loaded, and as transformers loads it."""
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tiny.base_folder(), dtype=torch.float32, attn_implementation=attn
    )
    return tiny.model(attn).backbone.hf, stock.eval()


def check(attn: str, sizes) -> None:
    """All that the tower returns must be that of the stock model."""
    ours, stock = towers(attn)
    assert ours.model.visual.config._attn_implementation == WINDOWED[attn]
    assert stock.model.visual.config._attn_implementation == attn
    prompt = tiny.prompt(tiny.model(attn), *sizes)
    with torch.no_grad():
        found, wanted = (
            hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, output_hidden_states=[1, 2, 3, 4])
            for hf in (ours, stock)
        )
    for one, other in zip(found.hidden_states[1:], wanted.hidden_states[1:], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for one, other in zip(found.pooler_output, wanted.pooler_output, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attn", WINDOWED)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_tower_is_the_stock_one(attn, sizes):
    check(attn, sizes)


@pytest.mark.parametrize("attn", WINDOWED)
def test_calls_are_counted(attn, monkeypatch):
    """An image of 5 x 9 tokens has 3 x 5 windows of 2 x 2, cut at the right and the bottom: 5 calls, not 15."""
    ours, stock = towers(attn)
    prompt = tiny.prompt(tiny.model(attn), (252, 140))
    assert (prompt.grids[0].rows, prompt.grids[0].cols) == (5, 9)
    name, counts = {"sdpa": "scaled_dot_product_attention", "eager": "softmax"}[attn], []
    real = getattr(torch.nn.functional, name)
    for hf in (ours, stock):
        calls: list[int] = []

        def counting(*args, calls=calls, **given):
            calls.append(1)
            return real(*args, **given)

        monkeypatch.setattr(torch.nn.functional, name, counting)
        with torch.no_grad():
            hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw)
        counts.append(len(calls))
    assert counts == [2 * 5 + 2, 2 * 15 + 2]  # two blocks with windows, two that see the whole image


def test_runs_of_equal_windows():
    assert runs([0, 4, 8, 10, 14, 18, 20, 22]) == [(0, 2, 4), (8, 1, 2), (10, 2, 4), (18, 2, 2)]
    assert runs([0, 9]) == [(0, 1, 9)] and runs([0]) == []


def joined(edges):
    """One window more in every run."""
    found = runs(edges)
    return [(0, 1, edges[-1])] if len(found) > 1 else found


def longer(edges):
    """All windows of the first one's length, as if none were cut."""
    length = edges[1] - edges[0]
    return [(0, edges[-1] // length, length)] if edges[-1] % length == 0 else [(0, 1, edges[-1])]


@pytest.mark.parametrize("mistake", [joined, longer])
def test_mistakes_are_noticed(mistake, monkeypatch):
    monkeypatch.setattr(windows, "runs", mistake)
    with pytest.raises(AssertionError):
        check("sdpa", [(140, 112)])


def test_the_stock_module_tells_edges_to_names_with_flash_only():
    """Why the names are what they are; a name without it is called window by window."""
    hf, _ = towers("sdpa")
    prompt, seen = tiny.prompt(tiny.model(), (140, 112)), []

    def noting(module, query, key, value, attention_mask, **given):
        seen.append((query.shape[2], "cu_seq_lens_q" in given))
        return query.transpose(1, 2), None

    AttentionInterface.register("test_flash_noting", noting)
    AttentionInterface.register("test_plain_noting", noting)
    own = hf.model.visual.config._attn_implementation
    try:
        for name in ("test_flash_noting", "test_plain_noting"):
            hf.model.visual.config._attn_implementation = name
            with torch.no_grad():
                hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw)
    finally:
        hf.model.visual.config._attn_implementation = own
    assert seen[0] == (80, True) and (16, False) in seen and len({told for _, told in seen}) == 2
