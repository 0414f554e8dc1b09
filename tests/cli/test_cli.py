"""The command line: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glimpse_core import __version__
from glimpse_core.__main__ import COMMANDS, main
from glimpse_core.cli import options
from glimpse_core.cli.ask import open_image
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import Familiarity
from glimpse_core.inference.session import Session
from glimpse_core.models import checkpoint
from glimpse_core.ui.pictures import open_picture
from tests.support import tiny


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Arguments of a question to the tiny model, and the folder they lie in."""
    folder = tmp_path_factory.mktemp("ask")
    model = tiny.model()
    checkpoint.save(folder / "glimpse", model.config, model.glimpse, model.vip)
    tiny.picture().save(folder / "picture.png")
    tiny.picture(84, 112, seed=1).save(folder / "other.jpg")
    return folder, ["--model", str(tiny.base_folder()), "--glimpse", str(folder / "glimpse"), "--device", "cpu"]


def ask(given, *extra, images=("picture.png",), question="What?"):
    folder, model = given
    return main(
        ["ask", *(str(folder / name) for name in images), "-q", question, *model, "--max-new-tokens", "4", *extra]
    )


def asked(given, capsys, *extra, **options):
    assert ask(given, "--json", *extra, **options) == 0
    return json.loads(capsys.readouterr().out)


def test_both_answers_are_printed(given, capsys):
    assert ask(given) == 0
    printed = capsys.readouterr()
    assert "pruned: " in printed.out
    assert "full: " in printed.out
    assert "visual tokens 20 -> " in printed.err


def test_answers_at_many_budgets(given, capsys):
    assert ask(given, "--budgets", "8, 1") == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["pruned", "full", "1 tokens", "8 tokens"]
    report = asked(given, capsys, "--budgets", "auto", "--anchors", "tl")
    assert [one["budget"] for one in report["band"]] == [1, 2, 3, 4, 5, 7, 9, 12, 15, 20]
    assert all(one["kept"] >= one["budget"] and len(one["tokens"]) <= 4 for one in report["band"])
    assert report["band"][-1]["tokens"] == report["answers"]["full"]["tokens"]
    assert "band" not in asked(given, capsys)
    for wrong in ("few", "1,,2", "-1", "0", "21"):
        assert ask(given, f"--budgets={wrong}") == 2
        assert "Expected" in capsys.readouterr().err


def test_several_questions_about_one_image(given, capsys):
    assert ask(given, "-q", "Where is it?", "-q", "Why?", "--save-overlay", str(given[0] / "seen.png")) == 0
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith("question: ")]
    assert lines == ["question: What?", "question: Where is it?", "question: Why?"]
    assert (
        printed.out.count("pruned: ") == printed.out.count("full: ") == printed.err.count("visual tokens 20 -> ") == 3
    )
    assert sorted(path.name for path in given[0].glob("seen*")) == ["seen.png", "seen_q2.png", "seen_q3.png"]
    assert ask(given, "-q", "Where is it?", "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["question"], first["reused_tokens"]) == ("What?", 0)
    assert second["question"] == "Where is it?" and second["reused_tokens"] > 20 and second["seconds"]["vision"] == 0
    alone = asked(given, capsys, question="Where is it?")
    assert second["kept"] == alone["kept"]
    for side, found in alone["answers"].items():
        assert second["answers"][side]["tokens"] == found["tokens"]


def test_which_tokens_the_words_need(given, capsys):
    report = asked(given, capsys, "--attribute")
    assert set(report["attribution"]) == {"pruned", "full"} and "attribution" not in asked(given, capsys)
    assert report["attribution"]["pruned"]["kept"] == report["kept"]
    assert report["attribution"]["full"]["kept"] == list(range(20))
    for side, found in report["attribution"].items():
        assert " ".join(word["text"] for word in found["words"]) == " ".join(report["answers"][side]["text"].split())
    assert ask(given, "--attribute") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " needs " in line]
    assert len(lines) == sum(len(found["words"]) for found in report["attribution"].values())


def test_an_image_of_another_world_is_noticed(given, capsys, monkeypatch):
    assert asked(given, capsys)["familiarity"] is None
    found = Familiarity(2.5, 1.25)
    monkeypatch.setattr(Session, "familiarity", property(lambda session: found))
    assert asked(given, capsys)["familiarity"] == {"distance": 2.5, "limit": 1.25, "familiar": False}
    assert ask(given) == 0
    assert "unlike those that this model was trained on (distance 2.50, at most 1.25" in capsys.readouterr().err
    found = Familiarity(1.0, 1.25)
    assert ask(given) == 0
    assert "unlike" not in capsys.readouterr().err


def test_json_tells_everything(given, capsys):
    report = asked(given, capsys)
    tokens = report["visual_tokens"]
    assert tokens["before"] == 20
    assert tokens["after"] == len(report["kept"]) == round(20 * tokens["share"])
    assert report["grids"] == [[4, 5]]
    assert set(report["answers"]) == {"pruned", "full"}
    assert len(report["answers"]["full"]["tokens"]) == 4
    assert set(report["seconds"]) == {"vision", "trunk", "glimpse_vip"}


def test_settings_reach_the_selection(given, capsys):
    assert asked(given, capsys, "--threshold", "0")["visual_tokens"]["after"] == 20
    assert asked(given, capsys)["repetition_penalty"] == 1
    assert asked(given, capsys, "--repetition-penalty", "1.3")["repetition_penalty"] == 1.3
    assert asked(given, capsys, "--threshold", "1", "--min-tokens", "3")["visual_tokens"]["after"] == 3
    assert asked(given, capsys, "--threshold", "0", "--max-ratio", "0.35")["visual_tokens"]["after"] == 7


def test_pruners(given, capsys):
    kept = {
        name: set(asked(given, capsys, "--pruner", name)["kept"]) for name in ("glimpse", "random", "grid", "inverse")
    }
    assert len(kept["glimpse"]) == len(kept["random"]) == len(kept["grid"])
    assert kept["inverse"] == set(range(20)) - kept["glimpse"]
    none = asked(given, capsys, "--pruner", "none")
    assert set(none["answers"]) == {"full"}
    assert none["visual_tokens"]["after"] == 20


def test_without_the_full_answer(given, capsys):
    assert set(asked(given, capsys, "--no-full")["answers"]) == {"pruned"}


def test_overlays_of_several_pictures(given, capsys):
    folder, _ = given
    target = folder / "out" / "overlay.png"
    report = asked(given, capsys, "--save-overlay", str(target), images=("picture.png", "other.jpg"))
    assert report["grids"] == [[4, 5], [4, 3]]
    for name, size in (("overlay_1.png", (140, 112)), ("overlay_2.png", (84, 112))):
        with Image.open(target.with_name(name)) as overlay:
            assert overlay.size == size


@pytest.mark.parametrize(
    ("extra", "options", "said"),
    [
        ([], dict(question=" "), "question is empty"),
        ([], dict(images=("nothing.png",)), "does not exist"),
        ([], dict(images=("glimpse/config.json",)), "config.json: This file is not an image that can be read"),
        (["--threshold", "2"], {}, "threshold"),
        (["--temperature", "-1"], {}, "temperature"),
        (["--save-overlay", "x.txt"], {}, "save-overlay"),
        (["--glimpse", "./nowhere"], {}, "does not exist"),
    ],
)
def test_errors_go_to_stderr_with_code_2(given, capsys, extra, options, said):
    assert ask(given, *extra, **options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert said in printed.err


def test_models(capsys):
    assert main(["models"]) == 0
    assert "qwen2.5-vl-7b" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["qwen2.5-vl-3b"]["parameters"] > 3e9
    assert set(rows["demo"]) >= {"name", "parameters", "state", "note"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "usage: python -m glimpse_core" in capsys.readouterr().out


def test_overview_and_version(capsys):
    for argument, said in (("--help", "commands:"), ("--version", __version__)):
        with pytest.raises(SystemExit) as stopped:
            main([argument])
        assert stopped.value.code == 0
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["unknown"], ["ask"], ["parity"]])
def test_wrong_usage_has_code_2(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_command_line_is_quick_without_a_model():
    """Help and errors about arguments do not import torch."""
    code = "import sys; from glimpse_core.__main__ import parser_for; parser_for('ask'); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_command_line_reads_pictures_as_the_page_does(tmp_path: Path) -> None:
    """Sixteen bit gray keeps its contrast, rotation is applied, and errors name the file."""
    ramp = np.linspace(1000, 60000, 800, dtype=np.uint16).reshape(40, 20)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert np.array_equal(
        np.asarray(open_image(tmp_path / "ramp.png")), np.asarray(open_picture(tmp_path / "ramp.png"))
    )
    assert open_image(tmp_path / "ramp.png").getextrema()[0] == (0, 255)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(GlimpseError, match="text.png: This file is not an image"):
        open_image(tmp_path / "text.png")


def test_choices_are_those_of_the_engine() -> None:
    """They are written out in `cli.options`, so that help needs no torch."""
    from glimpse_core.engine.attention import PROBED
    from glimpse_core.models import devices

    assert ("auto", *devices.DTYPES) == options.DTYPES
    assert ("auto", *PROBED) == options.ATTENTION
