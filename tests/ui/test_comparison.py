"""Several methods on one question: equal budgets, each mask and answer its own, and reasons where one cannot."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glimpse_core import pruners
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.types import Sampling
from glimpse_core.ui import comparison, texts
from glimpse_core.ui.examples import Example
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.methods import Trying
from glimpse_core.ui.queue import Queue
from tests.browser.test_engine import TINY
from tests.support.tiny_folder import write_base

SHORT = Sampling(max_new_tokens=3)


def unpacked(mask: str, count: int = 80) -> list[int]:
    return np.unpackbits(np.frombuffer(base64.b64decode(mask), np.uint8), count=count).tolist()


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [Image.effect_noise((280, 224), 90).convert("RGB")]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, images: list[Image.Image]) -> Session:
    model = catalog.load(write_base(tmp_path_factory.mktemp("tiny")), glimpse=TINY)
    return Session.ask(model, images, "What is it?")


def test_each_method_has_the_budget_and_answers_from_its_own_tokens(
    session: Session, images: list[Image.Image]
) -> None:
    names = ["glimpse", "random", "grid", "fastv", "divprune"]
    done = list(comparison.run_methods(session, names, 25, SHORT))
    assert [result["name"] for result in done] == ["none", *names]
    full, *rest = done
    assert full["kept"] == full["total"] == 80 and full["same"] and full["kv"] == 1.0
    assert full["text"] == session.answer(None, SHORT).complete().text
    for result in rest:
        assert result["kept"] == sum(unpacked(result["mask"])) == 20, result["name"]
        pruned = session.prune(pruners.build(result["name"], session.model, ratio=0.25))
        assert unpacked(result["mask"]) == pruned.kept[0].int().tolist()
        assert result["text"] == session.answer_of(pruned, SHORT).complete().text
        assert result["same"] == (result["text"].split() == full["text"].split())
        assert result["first"] > 0 and result["right"] is None
    assert unpacked(full["mask"]) == [1] * 80 and full["first"] > 0
    assert full["where"] == "nowhere" and rest[0]["where"] == f"after layer {TINY.keep_layer}"
    shares = {result["name"]: result["prefill"] for result in rest}
    assert shares["random"] == 0.25 < shares["glimpse"]  # one drops before the decoder, one inside
    assert len({result["mask"] for result in rest}) >= 4


def test_every_method_does_all_of_its_work_while_it_is_timed(
    session: Session, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, work = type(session.model.backbone), []
    encode, clock = backbone.encode_images, comparison.time.perf_counter
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: work.append("clock") or clock())
    monkeypatch.setattr(backbone, "encode_images", lambda *args, **more: work.append("encode") or encode(*args, **more))
    for _ in comparison.run_methods(session, ["glimpse", "random", "fastv"], 25, SHORT):
        at = work.index("encode")  # before the first method the clock also ticks for the answer that warms up
        assert work[at - 1 : at + 2] == ["clock", "encode", "clock"]
        work.clear()


def test_a_method_that_cannot_says_why_and_the_others_go_on(
    session: Session, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = pruners.build

    def choosy(name: str, *args: object, **options: object) -> object:
        if name == "fastv":
            raise GlimpseError("fastv needs more layers: choose another model")
        return build(name, *args, **options)

    monkeypatch.setattr(comparison.pruners, "build", choosy)
    done = list(comparison.run_methods(session, ["fastv", "grid"], 25, SHORT))
    assert done[1]["error"] == "fastv needs more layers: choose another model" and "mask" not in done[1]
    assert sum(unpacked(done[2]["mask"])) == 20


def test_stopping_ends_it_within_an_answer(session: Session, images: list[Image.Image]) -> None:
    cancel = threading.Event()
    steps = comparison.run_methods(session, ["grid", "random"], 25, SHORT, cancel)
    next(steps)
    cancel.set()
    with pytest.raises(Cancelled):
        next(steps)


def test_every_method_that_is_offered_can_be_built(session: Session, images: list[Image.Image]) -> None:
    names = [name for _, name in comparison.offered()]
    assert "glimpse" in names and "mask" not in names and len(names) >= 6
    done = list(comparison.run_methods(session, names, 50, Sampling(max_new_tokens=1)))
    assert len(done) == len(names) + 1
    for result in done:
        assert "error" in result or 0 <= result["kept"] <= 80, result


@pytest.mark.parametrize(
    ("names", "percent", "said"),
    [
        ([], 10, "No method was chosen"),
        (None, 10, "No method was chosen"),
        (["glimpse", "magic"], 10, "magic cannot be tried here; expected some of glimpse"),
        (["mask"], 10, "mask cannot be tried here"),
        (["glimpse"], 0, "The budget is '0'; expected a percentage from 1 to 100"),
        (["glimpse"], "all", "The budget is 'all'"),
        (["glimpse"], float("nan"), "The budget is 'nan'"),
        (["glimpse"], None, "The budget is 'None'"),
    ],
)
def test_what_cannot_be_tried_is_said(names: list[str] | None, percent: object, said: str) -> None:
    with pytest.raises(GlimpseError, match="^" + said):
        comparison.check(names, percent)


def test_answers_are_judged_where_the_truth_is_known(session: Session) -> None:
    said = next(comparison.run_methods(session, ["grid"], 25, SHORT))["text"]
    judged = [next(comparison.run_methods(session, ["grid"], 25, SHORT, truth=truth)) for truth in (said, "nothing")]
    assert [result["right"] for result in judged] == [True, False]


# The stream of messages -----------------------------------------------------------------------------------------


@pytest.fixture()
def trying(session: Session, images: list[Image.Image], tmp_path: Path) -> Trying:
    images[0].save(tmp_path / "picture.png")
    example = Example(tmp_path / "picture.png", "Noise.", (("What is it?", "It is noise."),))
    holder = SimpleNamespace(wait=lambda stop: session.model)
    flow = SimpleNamespace(holder=holder, gallery=Gallery((example,)), queue=Queue(), start=lambda *_, **__: session)
    return Trying(flow)  # type: ignore[arg-type]


def test_messages_say_everything_once(trying: Trying) -> None:
    told = list(trying.messages("a", ["example:0"], " What is it? ", ["random", "glimpse"], 25, 3))
    assert json.loads(json.dumps(told)) == told
    assert [message["state"] for message in told] == ["running"] * 5 + ["done"]
    assert told[0]["truth"] == "It is noise." and [message for message in told if "truth" in message] == told[:1]
    assert told[1]["grids"] == [{"rows": 8, "cols": 10, "frame": [0.0, 0.0, 1.0, 1.0]}] and "result" not in told[1]
    results = [message["result"] for message in told if "result" in message]
    assert [result["name"] for result in results] == ["none", "glimpse", "random"]  # not in the order of the clicks
    assert results[0]["right"] is False and told[2]["text"] == "1 of 3 done…"
    assert not trying.visitors.get("a").waiting and len(trying.flow.queue) == 0


def test_stop_ends_the_stream_and_keeps_what_is_done(trying: Trying) -> None:
    steps = trying.messages("a", ["example:0"], "What?", ["random", "grid"], 25, 3)
    told = []
    for message in steps:
        told.append(message)
        if "result" in message:
            trying.stop("a")
    assert told[-1] == {"state": "stopped", "text": "Stopped after 1 of 3."}
    assert len([message for message in told if "result" in message]) == 1
    assert not trying.visitors.get("a").waiting and len(trying.flow.queue) == 0


def test_a_stop_that_overtakes_its_comparison_ends_it(trying: Trying) -> None:
    """And only that one: the next comparison of the same page is answered."""
    asked = ("a", ["example:0"], "What?", ["grid"], 25, 3)
    trying.stop("a", 1)
    assert list(trying.messages(*asked, 1))[-1] == {"state": "stopped", "text": "Stopped after 0 of 2."}
    assert list(trying.messages(*asked, 2))[-1]["state"] == "done"
    trying.stop("a", 1)  # late, and about one that is over
    steps = trying.messages(*asked, 3)
    next(steps)
    trying.stop("a", 2)
    assert [*steps][-1]["state"] == "done"


def test_what_is_timed_is_warm(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer ran on this prompt before the first method is timed."""
    ran: list[str] = []
    answer, prune = session.answer, session.prune
    monkeypatch.setattr(session, "answer", lambda mask, *rest: ran.append(f"warm {mask}") or answer(mask, *rest))
    monkeypatch.setattr(session, "prune", lambda pruner, alone: ran.append("prune") or prune(pruner, alone))
    list(comparison.run_methods(session, ["grid"], 25, SHORT))
    assert ran == ["warm None", "prune", "prune"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("", ["grid"], 11, 3), "There is no question yet"),
        (("What?", [], 11, 3), "No method was chosen"),
        (("What?", ["no", ["grid"]], 11, 3), "no, ['grid'] cannot be tried here"),
        (("What?", 5, 11, 3), "The methods are 5"),
        (("What?", ["grid"], None, 3), "The budget is 'None'"),
        (("What?", ["grid"], 11, 0), "Longest answer is 0"),
    ],
)
def test_what_cannot_be_asked_is_one_message(trying: Trying, asked: tuple[object, ...], said: str) -> None:
    (message,) = trying.messages("a", ["example:0"], *asked)  # type: ignore[misc]
    assert message["state"] == "failed" and message["text"].startswith(said), message
    assert not trying.visitors.get("a").waiting


def test_no_picture_and_a_failure_are_told(trying: Trying) -> None:
    *_, last = trying.messages("a", [], "What?", ["grid"], 11, 3)
    assert last["state"] == "failed" and last["text"].startswith("There is no picture")
    trying.flow.start = lambda *_, **__: 1 / 0
    *_, last = trying.messages("a", ["example:0"], "What?", ["grid"], 11, 3)
    assert last == {"state": "failed", "text": texts.UNEXPECTED.format(name="ZeroDivisionError")}
