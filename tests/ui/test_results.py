"""The stored results of the bundled examples are what the engine computes today."""

from __future__ import annotations

import base64
import threading

import numpy as np
import pytest

from glimpse_core.glimpse.settings import to_json
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.types import Settings
from glimpse_core.ui import texts
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.make_examples import record
from glimpse_core.ui.results import load_results
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
        for figure in ("tokens", "length", "right"):
            assert stored.answers[name][figure] == live.answers[name][figure], RENEW
    for name in ("verdict", "rule", "truth"):
        assert stored.answers[name] == live.answers[name], RENEW
    assert stored.band == live.band and stored.familiar is live.familiar is True, RENEW
    for name in ("alive", "calculated", "layers", "keep_layer", "kv_bytes"):
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


def test_stopping_the_real_engine_frees_it_within_one_token(pages: Flow) -> None:
    """Ten rounds of start and stop: no token after the next, no thread, nobody left in the line."""
    example = pages.gallery.examples[0]
    pages.holder.wait()
    threads = threading.active_count()
    for number in range(10):
        views = pages.ask("stopper", ["example:0"], example.questions[0][0])
        for view in views:
            if view.answers and view.answers["kept"]:
                break
        visitor = pages.visitors.get("stopper")
        seen = {name: len(text_of(visitor.view[name])) for name in ("full", "kept")}
        pages.stop("stopper")
        last = list(views)[-1]
        assert last.status == {"text": texts.STOPPED, "kind": "info"}, number
        for name, before in seen.items():
            assert last.answers[name]["state"] == "cancelled"
            assert len(text_of(last.answers[name])) == before
        assert visitor.session is not None  # can be answered again
    assert threading.active_count() == threads
    assert len(pages.queue) == 0
    again = list(pages.again("stopper", ["example:0"], example.questions[0][0]))[-1]
    assert again.answers["verdict"]["same"] is not None
    assert visitor.session.counters["vision"] == visitor.session.counters["trunk"] == 1


def test_a_further_question_is_answered_as_if_it_were_asked_anew(pages: Flow) -> None:
    """Its images are not looked at again, and every score and word is the same."""
    example = pages.gallery.examples[0]
    (first, _), (second, _) = example.questions[:2]
    pages.forget("me")
    shown = {}
    for name, questions in (("anew", [second]), ("next", [first, second])):
        for question in questions:
            views = list(pages.ask(name, ["example:0"], question, to_json(Settings()), 24))
        session = pages.visitors.get(name).session
        canvas = next(view.canvas for view in views if view.canvas and "logits" in view.canvas)
        answers = [text_of(views[-1].answers[side]) for side in ("full", "kept")]
        shown[name] = scores(canvas, "logits"), answers, session.counters["vision"], session.reused
    (logits, answers, seen, reused), (next_logits, next_answers, next_seen, next_reused) = shown["anew"], shown["next"]
    assert np.allclose(logits, next_logits, atol=2e-3, rtol=2e-3) and answers == next_answers
    assert (seen, reused) == (1, 0) and next_seen == 0 and next_reused > len(logits)
