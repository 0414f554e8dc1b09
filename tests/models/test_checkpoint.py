"""Glimpse folders: both formats in, ours out, and what is said about folders that are wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from glimpse_core.backbones import FAMILIES
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import select, top_mask
from glimpse_core.models import catalog, checkpoint
from glimpse_core.models.base_fields import BASE_FIELDS
from glimpse_core.models.checkpoint_config import PUBLISHED_DEFAULTS, PUBLISHED_FIELDS, PUBLISHED_SELECTION
from glimpse_core.types import Selection
from tests.parity.test_parity import GOLDEN
from tests.support import tiny, tiny_llava

CASES = ["a_square", "n_le_len2_layernorm", "o_fuser_v2"]


@pytest.fixture(scope="module")
def backbone():
    return catalog.load(GOLDEN / "_base_untied", dtype="float32", device="cpu").backbone


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(GOLDEN / "a_square" / "new_modules", tmp_path / "new_modules")


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def rewrite(folder, change):
    path = folder / "new_modules_gp.pt"
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_published_folder_to_ours_and_back(case, backbone, tmp_path):
    config, glimpse, vip = checkpoint.load(GOLDEN / case / "new_modules", backbone)
    checkpoint.save(tmp_path / "ours", config, glimpse, vip)
    again, glimpse2, vip2 = checkpoint.load(tmp_path / "ours", backbone)
    assert again == config
    for first, second in ((glimpse, glimpse2), (vip, vip2)):
        assert first.state_dict().keys() == second.state_dict().keys()
        assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert not glimpse2.training
    assert not any(parameter.requires_grad for parameter in vip2.parameters())


def test_every_published_setting_is_read(folder, backbone):
    changes = {"reduce_threshold": 0.25, "max_remain_ratio": 0.5, "min_remain_num": 3, "anchor_positions": ["tl"]}
    config, *_ = checkpoint.load(edit(folder, **changes), backbone)
    assert config.selection == Selection(0.25, 0.5, 3, ("tl",))
    assert (config.keep_layer, config.read_layers, config.vision_layers) == (3, (3,), (3, 2, 1, 0))
    assert (config.vip_type, config.masks, config.read_logits) == ("v1", "vip", True)


@pytest.mark.parametrize(
    ("flags", "masks"), [({"use_ref_masks": True}, "reference"), ({"use_zero_masks": True}, "zero")]
)
def test_given_masks(folder, backbone, flags, masks):
    assert checkpoint.load(edit(folder, **flags), backbone)[0].masks == masks


@pytest.mark.parametrize("name", [name for name in PUBLISHED_FIELDS.values() if name not in PUBLISHED_DEFAULTS])
def test_a_missing_setting_is_named(folder, backbone, name):
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    del settings[name]
    path.write_text(json.dumps(settings))
    with pytest.raises(GlimpseError, match=name):
        checkpoint.load(folder, backbone)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attn_fuse_type", "AttnFuserV3"),
        ("attn_fuse_hidden_act", "sillu"),
        ("attn_fuse_num_heads", 5),
        ("attn_fuse_num_heads", 0),
        ("attn_fuse_size", "32"),
        ("attn_fuse_global", None),
        ("le_layers", [1, 2]),
        ("le_layers", [0, -1]),
        ("le_layers", [0, 1, 1]),
        ("le_layers", 6),
        ("le_length", 0),
        ("le_norm_type", "batchnorm"),
        ("le_dropout_prob", 1.5),
        ("selected_layers", []),
        ("selected_layers", [6]),
        ("selected_layers", [4]),
        ("selected_layers", [-1]),
        ("selected_visual_layers", [4]),
        ("selected_visual_layers", []),
        ("reduce_layer", -1),
        ("reduce_layer", None),
        ("use_attention_logits", "yes"),
        ("deep_supervision", 1),
        ("reduce_threshold", 1.5),
        ("max_remain_ratio", -0.1),
        ("min_remain_num", -1),
        ("anchor_positions", ["middle"]),
        ("fixed_remain_ratio", 1.5),
        ("fixed_remain_ratio", "0.1"),
        ("attn_fuse_new_rule", 0.1),
        ("model_type", "llava_llama_gp"),
        ("hidden_size", 128),
        ("num_hidden_layers", 28),
    ],
)
def test_an_impossible_setting_is_named(folder, backbone, name, value):
    with pytest.raises(GlimpseError, match=name):
        checkpoint.load(edit(folder, **{name: value}), backbone)


@pytest.mark.parametrize(("ratio", "cap"), [(0.2, 0.2), (1.0, None)])
def test_a_fixed_share_is_a_cap_without_a_threshold(folder, backbone, ratio, cap):
    """As published: the most probable tokens, as many as the share says, and at least one."""
    changes = {"reduce_threshold": 0.25, "max_remain_ratio": 0.5, "min_remain_num": 0, "fixed_remain_ratio": ratio}
    selection = checkpoint.load(edit(folder, **changes), backbone)[0].selection
    assert selection == Selection(0.0, cap, 0)
    logits = torch.randn(37, generator=torch.Generator().manual_seed(0)) - 30
    for count in (1, 4, 5, 37):
        kept = select(logits[:count], selection).mask
        assert torch.equal(kept, top_mask(logits[:count], max(1, int(ratio * count))))


def test_a_fixed_share_of_given_masks_is_refused(folder, backbone):
    with pytest.raises(GlimpseError, match="fixed_remain_ratio.*use_ref_masks"):
        checkpoint.load(edit(folder, fixed_remain_ratio=0.2, use_ref_masks=True), backbone)


@pytest.mark.parametrize("changes", [{"attn_fuse_use_flash_attn": True}, {"new_rule": None}, {"new_switch": False}])
def test_fields_that_change_no_number_are_read(folder, backbone, changes):
    expected = checkpoint.load(folder, backbone)[0]
    assert checkpoint.load(edit(folder, **changes), backbone)[0] == expected


def test_every_field_of_the_base_configs_is_known():
    stock = [family.stock.config_class().to_dict() for family in FAMILIES.values() if len(family.published_types) > 1]
    names = {name for config in stock for name in (*config, *config.get("text_config", {}))}
    assert names - BASE_FIELDS == set()


def test_a_depth_behind_the_last_layer_means_all_layers(folder):
    model = catalog.load(GOLDEN / "_base_untied", glimpse=edit(folder, reduce_layer=1000), device="cpu")
    assert model.keep_depth == 6


def test_older_checkpoints_lack_what_had_one_value(folder, backbone):
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in settings.items() if name not in PUBLISHED_DEFAULTS}))
    assert checkpoint.load(folder, backbone)[0] == checkpoint.load(GOLDEN / "a_square" / "new_modules", backbone)[0]


def test_both_kinds_of_given_masks_at_once(folder, backbone):
    with pytest.raises(GlimpseError, match="use_ref_masks and use_zero_masks"):
        checkpoint.load(edit(folder, use_ref_masks=True, use_zero_masks=True), backbone)


def test_missing_unexpected_and_misshapen_tensors_are_named(folder, backbone):
    def spoil(tensors):
        del tensors["le_proj"]["bias"]
        tensors["le_norm"]["bias"] = torch.zeros(64)
        tensors["attn_fuser"]["layers.1.attn.q_proj.weight"] = torch.zeros(64, 63)

    with pytest.raises(GlimpseError) as error:
        checkpoint.load(rewrite(folder, spoil), backbone)
    said = str(error.value)
    assert "missing glimpse.proj.bias (64,)" in said
    assert "unexpected glimpse.norm.bias (64,)" in said
    assert "vip.layers.1.attn.q_proj.weight is (64, 63), expected (64, 64)" in said


def test_many_faults_are_counted_not_listed(folder, backbone):
    with pytest.raises(GlimpseError, match="and 52 more"):
        checkpoint.load(rewrite(folder, lambda tensors: tensors.pop("attn_fuser")), backbone)


def test_a_file_with_code_in_it_is_not_run(folder, backbone):
    torch.save({"le_proj": Trap()}, folder / "new_modules_gp.pt")
    with pytest.raises(GlimpseError, match="plain tensors"):
        checkpoint.load(folder, backbone)
    assert not Trap.sprung


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "does not exist"),
        ("config.json", b"{", "Expected valid JSON"),
        ("new_modules_gp.pt", None, "does not exist"),
        ("new_modules_gp.pt", b"PK garbage", "cannot be read"),
        ("glimpse.safetensors", b"garbage", "damaged|lacks"),
    ],
)
def test_broken_files_are_named(folder, backbone, name, content, said):
    path = folder / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    if name == "glimpse.safetensors":
        config, *modules = checkpoint.load(GOLDEN / "a_square" / "new_modules", backbone)
        checkpoint.save(folder, config, *modules)
        path.write_bytes(content)
    with pytest.raises(GlimpseError, match=said) as error:
        checkpoint.load(folder, backbone)
    assert name in str(error.value)


def test_our_folders_know_their_base(backbone, tmp_path):
    """Sizes alone would not tell: those of the two tiny models are the same."""
    model = tiny_llava.model()
    for own in (None, model.backbone):
        checkpoint.save(tmp_path, model.config, model.glimpse, model.vip, own)
        checkpoint.load(tmp_path, model.backbone)
    with pytest.raises(
        GlimpseError, match="made for another base model .*'llava_llama_gp'.* Expected qwen2_5_vl_gp: load the base"
    ):
        checkpoint.load(tmp_path, tiny.model().backbone)
    kept = json.loads((tmp_path / "config.json").read_text())["base"]
    with pytest.raises(GlimpseError, match="hidden_size 64. Expected 32"):
        checkpoint.load(edit(tmp_path, base={**kept, "hidden_size": 64}), model.backbone)


def test_our_config_with_a_misspelt_field(backbone, tmp_path):
    config, glimpse, vip = checkpoint.load(GOLDEN / "a_square" / "new_modules", backbone)
    checkpoint.save(tmp_path, config, glimpse, vip)
    with pytest.raises(GlimpseError, match="unknown fields keep_layr"):
        checkpoint.load(edit(tmp_path, keep_layr=3), backbone)
    with pytest.raises(GlimpseError, match="keep_layer"):
        checkpoint.load(edit(replace_config(tmp_path, backbone), keep_layer="deep"), backbone)


def replace_config(folder, backbone):
    config, glimpse, vip = checkpoint.load(GOLDEN / "a_square" / "new_modules", backbone)
    checkpoint.save(folder, replace(config, selection=Selection()), glimpse, vip)
    return folder


def test_published_names_go_both_ways(backbone):
    config, glimpse, vip = checkpoint.load(GOLDEN / "a_square" / "new_modules", backbone)
    names = [f"glimpse.{name}" for name in glimpse.state_dict()] + [f"vip.{name}" for name in vip.state_dict()]
    for name in names:
        assert checkpoint.our_name(checkpoint.published_name(name)) == name
    assert len(PUBLISHED_SELECTION) == 4
