"""`--glimpse none`: a model whose modules are left out, on the command line."""

from __future__ import annotations

import json

import pytest

from glimpse_core.__main__ import main
from glimpse_core.cli.evaluate_methods import everything
from glimpse_core.evaluation.cells import Cell
from glimpse_core.models import catalog
from glimpse_core.pruners import build
from tests.evaluation.conftest import folder, small_scenes  # noqa: F401  fixtures: a base with modules, small scenes
from tests.support import tiny

OPTIONS = ["--device", "cpu", "--glimpse", "none"]


@pytest.fixture
def picture(tmp_path):
    tiny.picture().save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def ask(base, picture, *extra):
    return main(["ask", picture, "-q", "What?", "--model", str(base), "--max-new-tokens", "3", *OPTIONS, *extra])


def asked(capsys, base, picture, *extra):
    assert ask(base, picture, "--json", *extra) == 0
    return json.loads(capsys.readouterr().out)


def test_ask_scores_by_attention_and_says_so(folder, picture, capsys):  # noqa: F811
    model = catalog.load(folder, glimpse="none", device="cpu")
    assert (model.keep_layer, catalog.load(folder, device="cpu").keep_layer) == (2, 1)
    report = asked(capsys, folder, picture)
    scores, total = report["scores"], report["visual_tokens"]["before"]
    assert (scores["kind"], scores["layer"], report["pruner"]) == ("attention", 2, "attention")
    assert "Attention of the last prompt token at layer 2" in scores["meaning"]
    assert report["settings"]["threshold"] == 0 and report["settings"]["max_ratio"] == 0.111
    assert report["visual_tokens"]["after"] == int(0.111 * total)
    for layer in (0, 2):
        other = asked(capsys, folder, picture, "--budget", "5", "--keep-layer", str(layer))
        alone = catalog.load(folder, glimpse="none", keep_layer=layer, device="cpu")
        prompt = alone.processor.prompt(alone.backbone, [tiny.picture()], "What?")
        kept = build("attention", alone, count=5)(prompt).kept[0]
        assert other["kept"] == kept.nonzero().flatten().tolist() and other["scores"]["layer"] == layer
    assert ask(folder, picture) == 0
    assert "scores: Attention of the last prompt token at layer 2" in capsys.readouterr().err


def test_with_modules_the_predictor_is_named(folder, picture, capsys):  # noqa: F811
    assert main(["ask", picture, "-q", "What?", "--model", str(folder), "--json", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["scores"]["kind"], report["scores"]["layer"], report["pruner"]) == ("predictor", 1, "glimpse")


def test_band_overlay_grid_and_words(folder, picture, tmp_path, capsys):  # noqa: F811
    report = asked(
        capsys, folder, picture, "--budgets", "2,4", "--attribute", "--save-overlay", str(tmp_path / "a.png")
    )
    assert [one["kept"] for one in report["band"]] == [2, 4] and report["attribution"]["pruned"]["kept"]
    assert (tmp_path / "a.png").stat().st_size > 100
    grid = asked(capsys, folder, picture, "--pruner", "grid", "--max-ratio", "0.5")
    assert grid["pruner"] == "grid" and grid["visual_tokens"]["after"] == grid["visual_tokens"]["before"] // 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--threshold", "0.4"],
            "Threshold is 0.4, and .* has no glimpse modules: its scores are attention at layer 2",
        ),
        (["--keep-layer", "9"], "keep_layer is 9. Expected a layer of this model, from 0 to 3."),
    ],
)
def test_what_makes_no_sense_is_explained(folder, picture, options, said, capsys):  # noqa: F811
    assert ask(folder, picture, *options) == 2
    with pytest.raises(AssertionError, match=said):  # the message as a whole, on one line
        raise AssertionError(capsys.readouterr().err)


def test_a_layer_beside_modules_is_refused(folder, picture, capsys):  # noqa: F811
    assert main(["ask", picture, "-q", "What?", "--model", str(folder), "--keep-layer", "2", "--device", "cpu"]) == 2
    assert "trained for layer 1. Expected none beside modules" in capsys.readouterr().err


# Comparisons -----------------------------------------------------------------------------------------------------


def evaluate(base, *more):
    common = ["--count", "2", "--workers", "1", "--max-new-tokens", "2", *OPTIONS]
    return main(["evaluate", "--model", str(base), *common, *more])


@pytest.mark.usefixtures("small_scenes")
def test_a_comparison_has_the_training_free_row(folder, tmp_path, capsys):  # noqa: F811
    assert evaluate(folder, "--out", str(tmp_path / "run"), "--keep-layer", "1", "--timing", "1") == 0
    said = capsys.readouterr().out
    assert (
        "attention at K" in said and "no glimpse modules: training-free scores at layer 1; tokens dropped after" in said
    )
    header = json.loads((tmp_path / "run" / "questions.jsonl").read_text().splitlines()[0])
    assert header["keep_layer"] == 1 and header["plan"]["keep_layer"] == 1 and header["plan"]["glimpse"] == "none"
    assert header["scores"]["kind"] == "attention" and "GlimpsePrune" not in said
    assert set(json.loads((tmp_path / "run" / "timing.json").read_text())["cells"]) == {"none", "attention@11.1%"}
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")]) == 0
    assert "attention at K" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.usefixtures("small_scenes")
def test_all_methods_are_those_that_need_no_modules(folder, tmp_path, capsys):  # noqa: F811
    names = everything(trained=False)
    assert "attention" in names and set(everything()) - set(names) == {"glimpse", "glimpse_attention"}
    methods = ["--methods", "all,inverse:boxes", "--budgets", "30%"]
    assert evaluate(folder, "--out", str(tmp_path / "run"), *methods) == 0
    written = (tmp_path / "run" / "questions.jsonl").read_text().splitlines()
    assert set(json.loads(written[1])["cells"]) == {
        Cell(name, 0.3 if Cell(name).budgeted else None).label for name in [*names, "inverse:boxes"]
    }


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        (["--methods", "glimpse,random", "--budgets", "20%", "--out"], "glimpse@20% would need"),
        (["--methods", "random", "--budgets", "dynamic", "--out"], "random@dynamic would need"),
        (["--json"], "glimpse@dynamic, random_at_k@dynamic would need"),
    ],
)
@pytest.mark.usefixtures("small_scenes")
def test_what_needs_modules_is_named(folder, tmp_path, options, lacking, capsys):  # noqa: F811
    assert evaluate(folder, *options, str(tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert lacking in said and "such as attention, and shares as budgets, such as 11.1%" in said


def test_bench_times_attention_in_place_of_the_predictor(folder, picture, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "bench.json"
    common = ["--keep", "0.25", "--rounds", "1", "--warmup", "0", "--decode", "2", "--methods", "attention,random"]
    asking = ["--image", picture, "--question", "What?", "--model", str(folder), "--json", str(out)]
    assert main(["bench", *asking, *common, *OPTIONS]) == 0
    result = json.loads(out.read_text())
    names = [row["name"] for row in result["rows"]]
    assert names.count("attention at 25.0%") == 1 and "random at 25.0%" in names
    assert not any("glimpse" in name for name in names)
    assert result["scores"]["kind"] == "attention" and result["shape"]["keep_layer"] == 2
    assert "K = 2, scores by attention (no glimpse modules);" in capsys.readouterr().out
    assert main(["bench", "--shape", "small", "--glimpse", "none"]) == 2
    assert "Expected them with --model only" in capsys.readouterr().err
