"""The README: its size, its links, and its commands and Python, which run as printed."""

from __future__ import annotations

import re
import subprocess

import pytest

from glimpse_core.__main__ import main
from tests.support.documents import ROOT, blocks, commands, read

README = read(ROOT / "README.md")


def test_it_is_short():
    assert len(README.encode()) <= 8 * 1024


def test_the_python_runs_as_printed(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (code,) = blocks(README, "python")
    assert len([line for line in code.splitlines() if line]) <= 10
    names = {}
    exec(code, names)  # noqa: S102
    kept, pruned, full = capsys.readouterr().out.splitlines()
    count, total = map(int, re.fullmatch(r"(\d+) of (\d+) visual tokens kept", kept).groups())
    assert 0 < count < total / 4
    answer = full.removeprefix("all tokens:").strip()
    assert pruned.removeprefix("kept tokens:").strip() == answer != ""
    assert len(names["model"].processor.decode(generated(**names))) > 0


def generated(model, image, fastv, **_):
    """Token ids of an answer by the model that `with_pruning` gave, which must prune."""
    prompt = model.processor.prompt(model.backbone, [image], "Read the label of the star.")
    given = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "mm_token_type_ids")
    inputs = {name: getattr(prompt, name) for name in given}
    answer = fastv.generate(**inputs, max_new_tokens=8, return_dict_in_generate=True)
    length = prompt.input_ids.shape[1]
    assert answer.past_key_values.get_seq_length(model.backbone.layers - 1) < length / 2
    return answer.sequences[0, length:].tolist()


def test_the_question_on_the_command_line_is_answered(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (ask,) = [words for words in commands(README) if words[:2] == ["glimpse", "ask"]]
    assert main(ask[1:]) == 0
    answers = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert answers["pruned"] == answers["full"] != ""


def test_the_other_commands_are_complete():
    """`glimpse demo` and `make demo` serve the page, which the browser tests and the test of the wheel do."""
    found = [" ".join(words) for words in commands(README)]
    assert found == ["make demo", "pip install .", "glimpse demo", next(text for text in found if "ask" in text)]
    planned = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--model demo" in planned


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)\s]+)\)", README))))
def test_links_lead_somewhere(link):
    """Other sites are not asked."""
    if not link.startswith("https://"):
        assert (ROOT / link).is_file()


def test_what_was_never_run_is_said():
    section = README.split("**Never run**")[1].split("\n## ")[0]
    for what in ("CUDA", "flash attention", "released weights", "Space", "lmms-eval", "published accuracy"):
        assert what in section
