"""The benchmark: its arithmetic, its shapes, and one short run of everything on a tiny model."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from transformers import AutoConfig

from glimpse_core.__main__ import main
from glimpse_core.bench.contenders import Bench, budget
from glimpse_core.bench.measure import Contender, Measured, Spread, measure
from glimpse_core.bench.run import BAND, ONE_TRUNK, QUESTIONS, STOCK, WHOLE, band_ratio, one_answer
from glimpse_core.bench.shapes import SHAPES, random_model, read_shape, synthetic_prompt
from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.band import budgets_of
from glimpse_core.pruners import GlimpsePruner
from glimpse_core.storage.assets import ASSETS

CPU = torch.device("cpu")


def tiny(tmp_path, name="small"):
    """A shape of the table, made tiny, as a JSON file."""
    shape = SHAPES[name]
    base = json.loads(json.dumps(shape.base))
    base["text_config"] |= {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
                            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096}  # fmt: skip
    if "rope_parameters" in base["text_config"]:
        base["text_config"]["rope_parameters"]["mrope_section"] = [2, 3, 3]
    tower = base["vision_config"]
    tower |= {"hidden_size": 32, "intermediate_size": 48}
    if "depth" in tower:
        tower |= {"depth": 4, "num_heads": 2, "out_hidden_size": 64, "fullatt_block_indexes": [3]}
        base |= {"image_token_id": 4001, "video_token_id": 4002, "vision_start_token_id": 4003,
                 "vision_end_token_id": 4004}  # fmt: skip
    else:
        base["image_token_index"] = 4000
        tower |= {"num_attention_heads": 2, "num_hidden_layers": 4, "image_size": 84}
    glimpse = asdict(shape.glimpse) | {
        "keep_layer": 1, "read_layers": [1], "glimpse_layers": [0, 1, 2], "vision_layers": [3, 1],
        "vip_size": 16, "vip_condition_size": 16,
    }  # fmt: skip
    del glimpse["selection"]
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps({"base": base, "glimpse": glimpse}))
    return str(file)


def test_spread_and_ratios_are_paired_by_round():
    first = Measured(Contender("a", dict), [{"prefill": 2.0}, {"prefill": 4.0}, {"prefill": 8.0}])
    second = Measured(Contender("b", dict), [{"prefill": 1.0}, {"prefill": 2.0}, {"prefill": 6.0}])
    assert second.ratio(first) == Spread(0.5, 0.5, 0.625)
    assert second.ratio(first, "decoder") is None
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_every_contender_runs_once_per_round_and_warm_up_does_not_count():
    seen = []
    contenders = [Contender(name, lambda name=name: seen.append(name) or {"prefill": 1.0}) for name in "abc"]
    found = measure(contenders, CPU, rounds=3, warmup=2)
    assert [len(one.stages) for one in found] == [3, 3, 3]
    rounds = [seen[start : start + 3] for start in range(0, 15, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len({order[0] for order in rounds}) == 3, "no contender may always be the first"


@pytest.mark.parametrize("name", SHAPES)
def test_the_shapes_are_those_of_their_models(name):
    """Parameters of the decoder and the tower by the FLOPs of one token: within 1% of the published counts."""
    shape = Shape.from_config(AutoConfig.for_model(**SHAPES[name].base), SHAPES[name].glimpse)
    text = shape.text
    weights = text.layers * (
        2 * text.width * text.head_width * (text.heads + text.kv_heads) + 3 * text.width * text.mlp
    )
    weights += text.vocabulary * text.width
    published = {"qwen2.5-vl-3b": 3.09e9, "qwen2.5-vl-7b": 7.07e9, "llava-1.5-7b": 6.61e9, "llava-1.5-13b": 12.85e9}
    if name in published:  # without the input embeddings where they are not tied
        assert weights == pytest.approx(published[name], rel=0.01)
    config = SHAPES[name].glimpse
    assert config.keep_layer < text.layers == len(config.glimpse_layers)
    assert max(config.vision_layers) < shape.vision.blocks


def test_one_run_of_everything(tmp_path, capsys):
    out = tmp_path / "result" / "bench.json"
    options = ["--tokens", "24", "--keep", "0.25,0.5", "--rounds", "1", "--warmup", "0", "--decode", "2"]
    options += ["--methods", "random", "--device", "cpu", "--dtype", "float32"]
    assert main(["bench", "--shape", tiny(tmp_path), "--json", str(out), *options]) == 0
    result = json.loads(out.read_text())
    rows = {row["name"]: row for row in result["rows"]}
    assert result["prompt"]["visual_tokens"] == 25
    assert rows[STOCK]["ratio"]["median"] == 1.0
    assert rows["glimpse at 25.0%"]["kept"] == 6
    assert rows["glimpse at 25.0%, in generate"]["kept"] == 6
    assert rows["random at 50.0%"]["kept"] == 12
    assert rows["keep-all, our path"]["decoder_ratio"]["median"] == 1.0
    assert rows["random at 50.0%"]["decoder_flops_share"] < rows["random at 50.0%"]["flops_share"] < 1
    assert rows[STOCK]["decoder_ratio"] is None
    assert {"prefill", "trunk", "vision", "glimpse_vip"} <= rows[ONE_TRUNK]["seconds"].keys()
    assert all(row["seconds"]["prefill"]["median"] > 0 for row in result["rows"] if "VIP alone" not in row["name"])
    table = out.with_suffix(".md").read_text()
    assert capsys.readouterr().out == table
    assert table.count("\n| ") == len(rows) + 2
    band = result["band"]
    assert band["budgets"] == len(budgets_of(25)) == 10
    assert band["ratio"]["median"] == pytest.approx(
        rows[BAND]["seconds"]["total"]["median"] / rows[WHOLE]["seconds"]["total"]["median"]
    )
    first, later = (rows[name]["seconds"]["prefill"]["median"] for name in QUESTIONS["full"])
    assert result["next"]["full"]["median"] == pytest.approx(later / first) and set(result["next"]) == {
        "pruned",
        "full",
    }
    assert (
        rows["next question, pruned"]["kept"] == 6 and rows["next question, full"]["seconds"]["vision"]["median"] == 0
    )
    assert table.endswith("for the first question.\n") and "images and prompt included.\n" in table
    assert f" {band['ratio']['median']:.2f} times " in table


def test_the_band_is_compared_with_one_pruned_answer_round_by_round():
    whole = Measured(Contender(WHOLE, dict), [{"total": 2.0}, {"total": 4.0}, {"total": 8.0}])
    band = Measured(Contender(BAND, dict), [{"total": 4.0}, {"total": 12.0}, {"total": 32.0}])
    assert band_ratio([whole, band]) == Spread(3.0, 2.5, 3.5)


def test_an_image_and_its_question_instead_of_random_pixels(capsys):
    image = str(next((ASSETS / "examples").glob("scene-*.webp")))
    options = [
        "--rounds",
        "1",
        "--warmup",
        "0",
        "--decode",
        "1",
        "--methods",
        "none",
        "--keep",
        "0.1",
        "--device",
        "cpu",
    ]
    assert main(["bench", "--image", image, "--question", "What is this?", *options]) == 0
    assert "Answers at 12 budgets take " in capsys.readouterr().out
    for given, missing in ((["--image", image], "--question"), (["--question", "What?"], "--image")):
        assert main(["bench", *given, *options]) == 2
        assert f"{missing} is missing. Expected --image and --question together, or neither." in capsys.readouterr().err


def test_llava_shapes_take_several_squares(tmp_path):
    model = random_model(tiny(tmp_path, "llava-1.5-7b"), device="cpu")
    prompt = synthetic_prompt(model, 70)
    assert [grid.tokens for grid in prompt.grids] == [36, 36]
    stages = Bench(model, prompt, 2)
    assert stages.stock().keys() < stages.ours(GlimpsePruner(model, budget(0.5))).keys()
    assert stages.one_trunk(budget(0.5))["prefill"] > 0


def test_flops_shares_agree_with_the_cost_arithmetic(tmp_path):
    model = random_model(tiny(tmp_path), device="cpu")
    prompt = synthetic_prompt(model, 24)
    found = one_answer(Bench(model, prompt, 1), "glimpse", GlimpsePruner(model, budget(0.25)))
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    wanted = cost(shape, prompt.input_ids.shape[1], 25, found.kept, grids=prompt.grids).to_dict()
    assert found.share == pytest.approx(wanted["flops"]["share"]["prefill"], rel=0.02)  # but for the glimpse token


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shape", "huge"], "--shape is 'huge', which is no shape"),
        (["--keep", "0,2"], "Expected shares above 0"),
        (["--methods", "magic"], "There is no pruner called 'magic'"),
        (["--methods", "random,text_only"], "text_only, which take no budget"),
        (["--rounds", "0"], "--rounds is 0, --decode 8, --warmup 2. Expected --rounds and --decode of at least 1"),
        (["--tokens", "0"], "--tokens is 0"),
    ],
)
def test_impossible_requests_are_explained(options, message, capsys):
    assert main(["bench", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_shape_file_must_be_complete(tmp_path):
    (tmp_path / "a.json").write_text('{"base": {}}')
    with pytest.raises(GlimpseError, match="which is no shape"):
        read_shape(str(tmp_path / "a.json"))
    (tmp_path / "a.json").write_text('{"base": {"model_type": "gpt2"}, "glimpse": {"keep_layer": 1, '
                                     '"read_layers": [1], "glimpse_layers": [0], "vision_layers": [0]}}')  # fmt: skip
    with pytest.raises(GlimpseError, match="is a gpt2 model"):
        random_model(str(tmp_path / "a.json"))
