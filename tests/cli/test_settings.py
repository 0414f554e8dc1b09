"""Settings on the command line: every field is an option, and the result is the page's and the API's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from glimpse_core.__main__ import main, parser_for
from glimpse_core.cli.ask import asked_for
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import FIELDS, RULE, from_json, to_json
from glimpse_core.glimpse.settings.interfaces import from_options, to_options
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.types import ManualEdits, Selection, Settings
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.record import settings_of
from glimpse_core.ui.visitors import Visitors
from tests.support.some_settings import differing, one_each, some_settings

ASK = parser_for("ask")
PUBLISHED = Selection(0.25, 0.5, 3, ("tl",))


def parsed(*options: str) -> argparse.Namespace:
    return ASK.parse_args(["ask", "picture.png", "-q", "What?", *options])


@given(some_settings())
def test_options_give_the_value_back_over_any_checkpoint(settings: Settings) -> None:
    assert differing(asked_for(parsed(*to_options(settings)), PUBLISHED), settings) == []


@pytest.mark.parametrize("name", one_each())
def test_every_setting_is_an_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = one_each()[name]
    (field,) = (field for field in FIELDS if field.name == name)
    assert asked_for(parsed(*to_options(settings, [field])), Selection()) == settings
    with pytest.raises(SystemExit):
        main(["ask", "--help"])
    assert f"{field.flag} {field.example} {field.help}" in " ".join(capsys.readouterr().out.split())


def test_what_is_not_given_is_as_the_checkpoint_was_published() -> None:
    assert asked_for(parsed(), PUBLISHED) == Settings(PUBLISHED)
    assert asked_for(parsed("--max-ratio", "none", "--anchors", "none"), PUBLISHED) == Settings(
        Selection(0.25, None, 3)
    )


def test_earlier_options_still_work() -> None:
    old = parsed("--threshold", "0.4", "--max-ratio", "0.25", "--min-tokens", "4", "--pruner", "random", "--seed", "7")
    assert asked_for(old, Selection()) == Settings(Selection(0.4, 0.25, 4), None, ManualEdits(control="random", seed=7))
    with pytest.raises(GlimpseError, match="Expected one of them"):
        asked_for(parsed("--pruner", "random", "--control", "inverse"), Selection())


def test_evaluate_has_the_published_rule() -> None:
    settings = Settings(Selection(0.4, 0.25, 4, ("tr", "bl")))
    args = parser_for("evaluate").parse_args(["evaluate", *to_options(settings, RULE)])
    assert from_options(args, Settings(), RULE) == settings
    assert from_options(parser_for("evaluate").parse_args(["evaluate"]), Settings(), RULE) == Settings()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--budget", "0", "an integer from 1 to 100000 or none"), ("--anchors", "top", "any of tl, tr, bl, br")]
    + [("--threshold", "2", "a number from 0 to 1"), ("--painted", "5-3", "token numbers from 0 to 99999")],
)
def test_a_bad_option_is_refused_in_the_form_of_all_messages(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(load_examples()[0].path)
    assert main(["ask", picture, "-q", "What?", "--json", option, value]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {option} ") and said.endswith(f'"{value}". Expected {expected}.\n')


CASES = [
    ["--budget", "24"],
    ["--anchors", "tl,br"],
    ["--threshold", "0.05", "--max-ratio", "0.03", "--min-tokens", "20", "--anchors", "tr"],
    ["--painted", "3-9", "--erased", "100-500", "--budget", "40", "--anchors", "bl"],
    ["--control", "random", "--seed", "3", "--budget", "12"],
    ["--control", "inverse", "--painted", "7"],
]


@pytest.fixture(scope="module")
def flow() -> Flow:
    return Flow(Holder("demo", lambda: catalog.load("demo")), Visitors(1, 60), Gallery(load_examples()), Session.ask)


@pytest.mark.parametrize("options", CASES, ids=" ".join)
def test_the_command_line_answers_as_the_page_does(
    flow: Flow, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    example = flow.gallery.examples[0]
    question = example.questions[0][0]
    assert main(["ask", str(example.path), "-q", question, "--json", "--max-new-tokens", "24", *options]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    settings = from_json(report["settings"])
    assert settings == asked_for(parsed(*options), Selection())
    page = list(flow.ask("me", ["example:0"], question, to_json(settings), 24))[-1]
    record = flow.visitors.get("me").record
    assert settings_of(record) == settings
    assert np.flatnonzero(record["pictures"][0]["kept"]).tolist() == report["kept"]
    assert 0 < len(report["kept"]) < report["visual_tokens"]["before"]
    assert record["answers"]["kept"]["text"] == report["answers"]["pruned"]["text"]
    assert page.answers["verdict"]["same"] is not None


def test_a_budget_keeps_exactly_so_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, question = load_examples()[0].path, load_examples()[0].questions[0][0]
    counts = []
    for budget in (1, 24, 100):
        options = ["--json", "--no-full", "--max-new-tokens", "1", "--budget", str(budget)]
        assert main(["ask", str(picture), "-q", question, *options]) == 0
        counts.append(json.loads(capsys.readouterr().out)["visual_tokens"]["after"])
    assert counts == [1, 24, 100]
