"""The stored results of the bundled examples are what the engine computes today."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from glimpse_core import catalog
from glimpse_core.session import Session
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.results import load_results, record
from glimpse_core.ui.view import text_of
from glimpse_core.ui.visitors import Visitors

RENEW = "run `make examples`"


@pytest.fixture(scope="module")
def pages() -> Flow:
    return Flow(Holder("demo", lambda: catalog.load("demo")), Visitors(1, 60), Gallery(load_examples()), Session.ask)


def scores(canvas: dict, name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(canvas[name]), dtype="<f4")


@pytest.mark.parametrize("number", range(len(load_examples())))
def test_stored_results_are_what_the_engine_computes(pages: Flow, number: int) -> None:
    example = pages.gallery.examples[number]
    stored = load_results("demo")[example.path.name]
    live = record(pages, f"example:{number}", stored.question)
    assert stored.question == example.questions[0][0]
    for name in ("probabilities", "logits"):
        close = np.allclose(scores(stored.canvas, name), scores(live.canvas, name), atol=2e-3, rtol=2e-3)
        assert close, f"the {name} of {example.path.name} have changed: {RENEW}"
    for name in ("full", "kept"):
        assert text_of(stored.answers[name]) == text_of(live.answers[name]), RENEW
        counted = [
            [figure for figure in run.answers[name]["figures"] if figure["kind"] != "measured"]
            for run in (stored, live)
        ]
        assert counted[0] == counted[1], RENEW
    for name in ("verdict", "settings", "truth", "note"):
        assert stored.answers[name] == live.answers[name], RENEW
    for name in ("alive", "calculated", "layers", "keep_layer"):
        assert stored.inside[name] == live.inside[name], RENEW
    assert _keys(stored.canvas) == _keys(live.canvas), RENEW
    assert _keys(stored.answers) == _keys(live.answers), RENEW
    assert _keys(stored.inside) == _keys(live.inside), RENEW


def _keys(payload: object) -> object:
    """The payload's shape: names, without values."""
    if isinstance(payload, dict):
        return {name: _keys(value) for name, value in payload.items()}
    return None


def test_results_belong_to_one_model() -> None:
    assert load_results("qwen2.5-vl-3b") == {}
