"""cost.py against torch's own counter on small random models, against the published figures, and against itself."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from glimpse_core.backbones import Qwen25VL
from glimpse_core.backbones.layout import Layout
from glimpse_core.costs import flops
from glimpse_core.costs.cost import cost, decode_flops
from glimpse_core.costs.kv_cache import kv_bytes
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.attention import PROBED, Probe
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.glimpse.token import Glimpse
from glimpse_core.glimpse.vip import VIP
from glimpse_core.inference.session import Session
from glimpse_core.types import GlimpseConfig, Grid, Sampling

GRIDS = (Grid(5, 3), Grid(4, 7))  # windows of 2 x 2 tokens: cut at a border in both directions, and not cut
VISUAL = sum(grid.tokens for grid in GRIDS)
PICTURES = [(grid.rows, grid.cols) for grid in GRIDS]
TEXT = 11
LENGTH = VISUAL + TEXT
IMAGE, PAD = 150, 151

# The published 7B model, in the flat layout of its config.json.
QWEN_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "in_chans": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}
GLIMPSE_7B = GlimpseConfig(
    keep_layer=18, read_layers=(18,), glimpse_layers=tuple(range(28)), vision_layers=(31, 23, 15, 7)
)


def glimpse(**changes: object) -> GlimpseConfig:
    fields = {
        "keep_layer": 2,
        "read_layers": (2,),
        "glimpse_layers": (0, 1, 2),
        "vision_layers": (3, 1),
        "vip_size": 32,
        "vip_condition_size": 48,
        "vip_heads": 4,
    }
    return GlimpseConfig(**(fields | changes))


@pytest.fixture(scope="module")
def qwen() -> Qwen2_5_VLForConditionalGeneration:
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 48,
            "intermediate_size": 80,
            "num_hidden_layers": 5,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "vocab_size": 160,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": PAD,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 4,
            "hidden_size": 32,
            "intermediate_size": 52,
            "num_heads": 2,
            "out_hidden_size": 48,
            "window_size": 56,
            "fullatt_block_indexes": [1, 3],
        },
        image_token_id=IMAGE,
    )
    config._attn_implementation = "eager"
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = None  # random weights must not end an answer before its second token
    return model


@pytest.fixture(scope="module")
def shape(qwen: Qwen2_5_VLForConditionalGeneration) -> Shape:
    return Shape.from_config(qwen.config, glimpse())


def prompt() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[3] * 4 + [IMAGE] * GRIDS[0].tokens + [4] * 3 + [IMAGE] * GRIDS[1].tokens + [5] * 4])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == IMAGE).int(),
        "pixel_values": torch.rand(4 * VISUAL, 3 * 2 * 14 * 14),
        "image_grid_thw": torch.tensor([[1, 2 * grid.rows, 2 * grid.cols] for grid in GRIDS]),
    }


def counted(counter: FlopCounterMode, suffix: str) -> int:
    """The counter's total of the module whose path ends with `suffix`."""
    found = [sum(ops.values()) for name, ops in counter.get_flop_counts().items() if name.endswith(suffix)]
    assert len(found) == 1, (suffix, sorted(counter.get_flop_counts()))
    return found[0]


def test_unpruned_prefill_equals_torchs_count_stage_by_stage(qwen, shape) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        qwen(**prompt(), logits_to_keep=1)
    full = cost(shape, LENGTH, VISUAL, 9, grids=GRIDS).full
    layers = [counted(counter, f"language_model.layers.{index}") for index in range(5)]
    assert full.vision == counted(counter, ".visual")
    assert full.trunk == sum(layers[:3])
    assert full.branch == sum(layers[3:])
    assert full.lm_head == counted(counter, ".lm_head")
    assert full.prefill == counter.get_total_flops()  # nothing else in the model multiplies matrices
    assert full.glimpse_vip == 0


@pytest.mark.parametrize("kept", [0, 1, 9, VISUAL])
def test_pruned_decoder_equals_torchs_count_on_the_shortened_lengths(qwen, shape, kept: int) -> None:
    costs = cost(shape, LENGTH, VISUAL, kept, grids=GRIDS)
    with FlopCounterMode(display=False) as trunk, torch.no_grad():
        qwen.model.language_model(inputs_embeds=torch.rand(1, LENGTH + 1, 48))  # the glimpse token is one more
    with FlopCounterMode(display=False) as branch, torch.no_grad():
        qwen.model.language_model(inputs_embeds=torch.rand(1, TEXT + kept, 48))
    assert costs.pruned.trunk == sum(counted(trunk, f".layers.{index}") for index in (0, 1, 2))
    assert costs.pruned.branch == sum(counted(branch, f".layers.{index}") for index in (3, 4))
    assert (costs.pruned.vision, costs.pruned.lm_head) == (costs.full.vision, costs.full.lm_head)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vip_global": False},
        {"vip_type": "v2"},
        {"vip_type": "v2", "vip_global": False, "vision_layers": (0, 1, 2)},
        {"read_layers": (0, 2), "glimpse_length": 3, "deep_supervision": True},
    ],
    ids=("whole", "windows", "v2", "v2_windows_three_layers", "two_rows_three_tokens"),
)
def test_glimpse_and_vip_equal_torchs_count(shape, changes: dict) -> None:
    config = glimpse(**changes)
    shape = Shape(shape.text, shape.vision, config)
    lengths = (flops.image_sizes if config.vip_global else flops.window_sizes)(shape.vision, VISUAL, PICTURES)
    layout = Layout(torch.zeros(VISUAL, 2, dtype=torch.long), tuple(lengths), torch.arange(VISUAL))
    vectors, vip = Glimpse(config, 48, 1e-6), VIP(config, 6, 32).eval()
    keys = LENGTH + config.glimpse_length
    query, key = torch.rand(1, 6, 1, 8), torch.rand(1, 2, keys, 8)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        vectors()
        probe = Probe(frozenset(config.read_layers))
        for layer in config.read_layers:
            probe.read(SimpleNamespace(layer_idx=layer), query, key)
        vip(torch.rand(VISUAL, 6 * len(config.read_layers)), torch.rand(len(config.vision_layers), VISUAL, 32), layout)
    assert cost(shape, LENGTH, VISUAL, 9, grids=GRIDS).pruned.glimpse_vip == counter.get_total_flops()


def check_flops(session: Session, asked: FlopCounterMode, shape: Shape) -> torch.Tensor:
    """A session, counted while it was made, and its answers cost what `cost` says. Returns the mask that was used."""
    mask = session.random(9)
    costs = cost(shape, session.prompt_length, len(mask), int(mask.sum()), grids=session.grids)
    pruned, full = costs.pruned, costs.full
    assert asked.get_total_flops() == pruned.vision + pruned.trunk + pruned.glimpse_vip
    for kept, run in ((mask, pruned), (None, full)):
        answer = session.answer(kept, Sampling(max_new_tokens=2))
        with FlopCounterMode(display=False) as first:
            next(answer)
        with FlopCounterMode(display=False) as second:
            next(answer)
        assert first.get_total_flops() == run.branch + run.lm_head
        assert second.get_total_flops() == run.decode
    return mask


def test_a_real_session_costs_exactly_what_is_predicted(qwen, shape) -> None:
    """Vision, trunk and VIP once; then a pruned and a full answer from them, first and second token."""
    qwen.set_attn_implementation(PROBED["eager"])
    config, inputs = shape.glimpse, prompt()
    backbone = Qwen25VL(qwen)
    trained = Glimpse(config, 48, 1e-6), VIP(config, 6, 32).eval()
    for module in (qwen, *trained):
        module.requires_grad_(False)  # the counter cannot follow parameters through inference mode
    modules = dict(zip(("glimpse", "vip"), trained, strict=True), config=config)
    place = dict(device=qwen.device, dtype=qwen.dtype, attn="eager")
    model = GlimpseModel(backbone=backbone, processor=None, name="tiny", **place, **modules)
    inputs.pop("mm_token_type_ids")
    with FlopCounterMode(display=False) as asked, sdpa_kernel(SDPBackend.MATH):
        session = Session(model, backbone.prompt(**inputs))
    check_flops(session, asked, shape)


def test_decoding_equals_torchs_count_token_by_token(qwen, shape) -> None:
    kept = 9
    costs = cost(shape, LENGTH, VISUAL, kept)
    with torch.no_grad():
        cache = qwen.model.language_model(inputs_embeds=torch.rand(1, TEXT + kept, 48)).past_key_values
        with FlopCounterMode(display=False) as counter:
            for token in range(3):
                step = qwen(input_ids=torch.tensor([[7]]), past_key_values=cache, logits_to_keep=1)
                if token == 0:
                    assert counter.get_total_flops() == costs.pruned.decode
    assert step.logits.shape == (1, 1, 160)
    assert counter.get_total_flops() == decode_flops(shape, TEXT + kept, 3)


def test_cache_bytes_are_those_of_the_real_cache(qwen, shape) -> None:
    with torch.no_grad():
        cache = qwen.model.language_model(inputs_embeds=torch.rand(1, LENGTH, 48)).past_key_values
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert kv_bytes(shape, LENGTH, torch.float32) == kv_bytes(shape, LENGTH, "float32") == held
    assert kv_bytes(shape, LENGTH, "bfloat16") == held // 2
    costs = cost(shape, LENGTH, VISUAL, 9, dtype="float16")
    assert (costs.kv_bytes, costs.kept_kv_bytes) == (held // 2, held // 2 * costs.kept_length // LENGTH)


def test_llava_tower_and_decoder_equal_torchs_count() -> None:
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=56,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=56,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=6, vocab_size=160
        ),
        image_token_index=IMAGE,
        image_seq_length=16,
    )
    config._attn_implementation = "eager"
    model = LlavaForConditionalGeneration(config).eval()
    ids = torch.tensor([[3, 3] + [IMAGE] * 16 + [4] + [IMAGE] * 16 + [5]])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids, pixel_values=torch.rand(2, 3, 56, 56), logits_to_keep=1)
    for given in (config, config.to_dict()):
        full = cost(Shape.from_config(given), 36, 32, 4, keep_layer=1).full
        assert full.vision == counted(counter, ".vision_tower") + counted(counter, ".multi_modal_projector")
        assert full.prefill == counter.get_total_flops()


def test_window_sizes_cover_every_picture() -> None:
    vision = Shape.from_config(QWEN_7B).vision
    assert vision.window == 4
    assert sorted(flops.window_sizes(vision, 6 * 9, [(6, 9)])) == [2, 4, 8, 8, 16, 16]
    assert flops.window_sizes(vision, 32, [(4, 8)]) == [16, 16]
    assert flops.window_sizes(vision, 35, None) == [16, 16, 3]
    assert flops.image_sizes(vision, 62, [(6, 9), (2, 4)]) == [54, 8]


def test_published_setting_leaves_69_percent_of_the_decoders_prefill() -> None:
    """Table 7 of the paper: 77.8 -> 53.8 TFLOPs (69.2%), cache 5073.9 -> 202.5 tokens, decoder only, full attention."""
    shape = Shape.from_config(QWEN_7B, GLIMPSE_7B)
    costs = cost(shape, prompt_length=5074, visual_tokens=5050, kept_tokens=202)
    share = costs.to_dict()["flops"]["share"]
    assert costs.full.decoder_prefill / 1e12 == pytest.approx(76.55, abs=0.01)  # a mean over lengths is a little higher
    assert costs.pruned.decoder_prefill / 1e12 == pytest.approx(53.22, abs=0.01)
    assert share["decoder_prefill"] == pytest.approx(0.69, abs=0.01)
    assert share["prefill"] == pytest.approx(0.79, abs=0.01)  # with the vision tower, which pruning does not touch
    exact = cost(shape, 5074, 5074 - 24, 202 - 24)  # read literally: 202 tokens left in all
    assert exact.pruned.decoder_prefill / exact.full.decoder_prefill == pytest.approx(53.8 / 77.8, abs=0.003)


def test_published_decoding_flops() -> None:
    """The same table: 333.4 GFLOPs for 22.0 tokens, 317.4 for 24.2, without the output matrix."""
    shape = Shape.from_config(QWEN_7B, GLIMPSE_7B)
    head = flops.output_matrix(shape.text)
    assert (decode_flops(shape, 5074, 22) - 22 * head) / 1e9 == pytest.approx(333.4, rel=0.01)
    assert (decode_flops(shape, 202, 24) - 24 * head) * 24.2 / 24 / 1e9 == pytest.approx(317.4, rel=0.01)


def test_causal_counts_each_pair_once(shape) -> None:
    full, causal = (cost(shape, LENGTH, VISUAL, 9, grids=GRIDS, attention=kind) for kind in ("full", "causal"))
    per_pair = 2 * 2 * shape.text.heads * shape.text.head_width

    def masked(length: int) -> int:
        return sum(1 for query in range(length) for key in range(length) if key > query)

    assert full.full.trunk - causal.full.trunk == 3 * per_pair * masked(LENGTH)
    assert full.pruned.trunk - causal.pruned.trunk == 3 * per_pair * masked(LENGTH + 1)
    assert full.pruned.branch - causal.pruned.branch == 2 * per_pair * masked(TEXT + 9)
    for stage in ("vision", "glimpse_vip", "lm_head", "decode"):
        assert getattr(full.pruned, stage) == getattr(causal.pruned, stage)


def test_tokens_alive_per_layer(shape) -> None:
    rows = list(cost(shape, LENGTH, VISUAL, 9).tokens_per_layer())
    assert [row.layer for row in rows] == [0, 1, 2, 3, 4]
    assert [row.full for row in rows] == [LENGTH] * 5
    assert [row.pruned for row in rows] == [LENGTH + 1] * 3 + [TEXT + 9] * 2
    assert [row.visual_full for row in rows] == [VISUAL] * 5
    assert [row.visual_pruned for row in rows] == [VISUAL] * 3 + [9] * 2
    assert {row.cached for row in rows} == {TEXT + 9}


def test_pruning_before_the_decoder_and_behind_the_last_layer(shape) -> None:
    early = cost(shape, LENGTH, VISUAL, 9, keep_layer=-1)
    assert early.pruned.trunk == early.full.trunk == early.pruned.glimpse_vip == early.glimpse_tokens == 0
    assert {row.pruned for row in early.tokens_per_layer()} == {TEXT + 9}
    late = cost(shape, LENGTH, VISUAL, 9, keep_layer=1000)
    assert (late.keep_layer, late.pruned.branch) == (4, 0)
    assert late.pruned.decode == early.pruned.decode < late.full.decode


def test_methods_without_a_glimpse_pay_for_none(shape) -> None:
    for plain in (
        cost(shape, LENGTH, VISUAL, 9, glimpse=False),
        cost(Shape(shape.text, shape.vision), LENGTH, VISUAL, 9, keep_layer=2),
        cost(Shape(shape.text, shape.vision, glimpse(masks="reference")), LENGTH, VISUAL, 9),
    ):
        assert (plain.pruned.glimpse_vip, plain.glimpse_tokens) == (0, 0)
        assert plain.pruned.trunk == plain.full.trunk
    text_only = cost(shape, TEXT, 0, 0)
    assert text_only.pruned == text_only.full
    assert text_only.to_dict()["visual_tokens"]["share"] == 1.0


def test_to_dict_is_json_and_complete(shape) -> None:
    costs = cost(shape, LENGTH, VISUAL, 9)
    read = json.loads(json.dumps(costs.to_dict()))
    assert read["visual_tokens"] == {"before": VISUAL, "after": 9, "share": 9 / VISUAL}
    assert read["prompt_length"]["after"] == read["prompt_length"]["before"] - VISUAL + 9
    assert read["kv_bytes"]["share"] == pytest.approx((TEXT + 9) / LENGTH)
    assert read["flops"]["pruned"]["prefill"] == costs.pruned.prefill
    assert read["flops"]["share"]["prefill"] == costs.pruned.prefill / costs.full.prefill
    stages = {"vision", "trunk", "glimpse_vip", "branch", "lm_head", "decode", "decoder_prefill", "prefill"}
    assert set(read["flops"]["full"]) == set(read["flops"]["pruned"]) == stages


def test_flat_and_nested_configs_give_the_same_shape(qwen, shape) -> None:
    nested = qwen.config.to_dict()
    flat = nested["text_config"] | {"vision_config": nested["vision_config"]}
    assert Shape.from_config(nested, shape.glimpse) == Shape.from_config(flat, shape.glimpse) == shape


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda shape: cost(shape, LENGTH, VISUAL, VISUAL + 1), f"kept_tokens {VISUAL + 1}"),
        (lambda shape: cost(shape, VISUAL, VISUAL, 1), f"prompt_length {VISUAL}"),
        (lambda shape: cost(shape, LENGTH, VISUAL, -1), "kept_tokens -1"),
        (lambda shape: cost(shape, LENGTH, VISUAL, 1, keep_layer=-2), "keep_layer is -2"),
        (lambda shape: cost(shape, LENGTH, VISUAL, 1, grids=[Grid(5, 3)]), "5 x 3"),
        (lambda shape: cost(shape, LENGTH, VISUAL, 1, dtype="int4"), "int4"),
        (lambda shape: cost(shape, LENGTH, VISUAL, 1, attention="half"), "'half'"),
        (lambda shape: cost(Shape(shape.text, shape.vision), LENGTH, VISUAL, 1), "keep_layer"),
        (lambda shape: Shape.from_config(7), "int"),
        (lambda shape: Shape.from_config({"hidden_size": 8}), "num_attention_heads"),
        (lambda shape: Shape.from_config(QWEN_7B | {"hidden_size": -3}), "hidden_size is -3"),
        (lambda shape: Shape.from_config(QWEN_7B | {"vision_config": {"depth": 32, "embed_dim": 1280}}), "Qwen2.5-VL"),
    ],
)
def test_contradictions_are_named(shape, call, named: str) -> None:
    with pytest.raises(GlimpseError, match=named):
        call(shape)


def test_costs_need_no_torch() -> None:
    code = "import sys, glimpse_core.costs.cost; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
