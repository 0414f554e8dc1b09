"""The page's rooms without a browser: pictures, differences, visitors, the background model, and the handlers."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.glimpse.settings import to_json
from glimpse_core.glimpse.settings.field import shown
from glimpse_core.types import Settings
from glimpse_core.ui import compare, flow, inputs, streaming, texts
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.make_examples import SEEDS
from glimpse_core.ui.pictures import data_url, open_picture
from glimpse_core.ui.view import View
from glimpse_core.ui.visitors import Visitor, Visitors
from glimpse_core.world import questions, scene
from glimpse_core.world.vocabulary import COLORS, KINDS, MAX_LABEL
from tests.browser.fake import FakeModel, FakeSession
from tests.support.some_settings import some_settings

# Pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_promised_format_opens(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"picture.{kind.lower()}"
    Image.new("RGB", (40, 30), (200, 30, 30)).save(path, kind)
    image = open_picture(path)
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image)[15, 20].astype(int) - (200, 30, 30)).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F", "HSV", "LAB"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.tif"
    source = Image.new(mode, (20, 20))
    (source.convert("RGB") if mode == "HSV" else source).save(path)
    assert open_picture(path).mode == "RGB"


def test_sixteen_bit_gray_keeps_its_contrast(tmp_path: Path) -> None:
    ramp = np.linspace(1000, 60000, 400, dtype=np.uint16).reshape(20, 20)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    shown = np.asarray(open_picture(tmp_path / "ramp.png"))[..., 0]
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 255
    assert 120 < shown[10, 0] < 136


def test_first_frame_of_an_animation_and_transparency_on_white(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    assert open_picture(tmp_path / "moves.gif").getpixel((5, 5)) == (255, 0, 0)
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "glass.png")
    assert open_picture(tmp_path / "glass.png").getpixel((5, 5)) == (255, 255, 255)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (20, 40)


def test_data_url_has_the_asked_size() -> None:
    url = data_url(Image.new("RGB", (100, 50)), (84, 56))
    head, data = url.split(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (84, 56)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not an image"), (b"hello", "not an image"), (b"\x89PNG\r\n\x1a\n" + b"x" * 99, "The image is damaged")],
)
def test_broken_files_are_explained(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(GlimpseError, match=message):
        open_picture(path)


def test_missing_file_and_folder_are_explained(tmp_path: Path) -> None:
    with pytest.raises(GlimpseError, match="no longer on the server"):
        open_picture(tmp_path / "gone.png")
    with pytest.raises(GlimpseError):
        open_picture(tmp_path)


# Words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "marked_left", "marked_right"),
    [
        ("It is red.", "It is red.", [], []),
        ("It is red.", "It is  blue.", ["red."], ["blue."]),
        ("", "Something", [], ["Something"]),
        ("a b c", "a c", ["b"], []),
        ("日本 語", "日本 語", [], []),
    ],
)
def test_marks_only_what_differs(left: str, right: str, marked_left: list[str], marked_right: list[str]) -> None:
    pieces = compare.mark(left, right)
    for side, text, marked in zip(pieces, (left, right), (marked_left, marked_right), strict=True):
        assert "".join(piece for piece, _ in side) == text
        assert [piece for piece, differs in side if differs] == marked
    assert compare.same(left, right) == (not marked_left and not marked_right)


# Visitors and model ---------------------------------------------------------------------------------------------


def test_visitors_are_bounded_and_expire() -> None:
    now = [0.0]
    visitors = Visitors(capacity=2, ttl=10, clock=lambda: now[0])
    first = visitors.get("a")
    first.session = SimpleNamespace(held_bytes=0)
    visitors.get("b")
    assert visitors.get("a") is first  # now b is the longest unused
    visitors.get("c")
    assert len(visitors) == 2
    assert first.session is not None
    now[0] = 11.0
    visitors.get("d")
    assert len(visitors) == 1
    assert first.session is None
    assert first.cancel.is_set()


def test_sessions_are_bounded_by_the_memory_that_they_hold_together() -> None:
    visitors = Visitors(capacity=9, ttl=60, memory=100)
    held = {name: SimpleNamespace(held_bytes=size) for name, size in (("a", 60), ("b", 30), ("c", 60))}
    for name, session in held.items():
        visitors.get(name).session = session
    a, b, c = (visitors._visitors[name] for name in "abc")
    visitors.get("d")  # 150 bytes are held: the longest unused is let go
    assert (a.session, b.session, c.session) == (None, held["b"], held["c"])
    a, b = visitors.get("a"), visitors.get("b")
    a.earlier, a.session = held["a"], None
    with a.asking():
        b.session = held["c"]
        visitors.get("d")
        assert a.earlier is None  # whoever waits is not forgotten, but looks at the pictures again
        assert visitors.get("a") is a and not a.cancel.is_set()
    assert c.session is None and b.session is held["c"]


def test_nobody_who_waits_for_an_answer_is_forgotten() -> None:
    """Ten visitors ask at once where two are remembered: all are answered, and then the longest unused are let go."""
    pages, model = make_flow()
    pages.visitors = Visitors(capacity=2, ttl=60)
    asked = {
        f"visitor {number}": pages.ask(f"visitor {number}", ASK[0], f"{number}?", *ASK[2:]) for number in range(10)
    }
    for views in asked.values():
        next(views)  # begun
    assert len(pages.visitors) == 10
    for number, views in enumerate(asked.values()):
        assert list(views)[-1].answers["question"] == f"{number}?"
    assert len(model.sessions) == 10
    pages.visitors.get("another")
    assert len(pages.visitors) == 2


def test_a_new_request_cancels_the_one_before_and_leaving_cancels_all() -> None:
    visitors = Visitors(capacity=2, ttl=10)
    visitor = visitors.get("a")
    first = visitor.begin()
    second = visitor.begin()
    assert first.is_set()
    assert not second.is_set()
    visitors.drop("a")
    visitors.drop("a")
    assert second.is_set()


def test_the_badge_says_what_is_being_loaded() -> None:
    from glimpse_core.ui.boot import badge_value

    held = threading.Event()
    flow_ = SimpleNamespace(holder=Holder("x", held.wait), trained=False)
    flow_.holder.start()
    flow_.holder.progress("downloading owner/model: 12% of 8.3 GB")
    assert badge_value(flow_) == {
        "state": "loading",
        "title": "x",
        "detail": "loading: downloading owner/model: 12% of 8.3 GB…",
        "trained": False,
    }
    held.set()


def test_the_badge_says_what_the_model_runs_on() -> None:
    from glimpse_core.ui.boot import badge_value

    model = FakeModel()
    holder = Holder("x", lambda: model)
    holder.wait()
    flow = SimpleNamespace(holder=holder, trained=True)
    assert badge_value(flow)["detail"] == "cpu · float32 · sdpa"
    model.backbone.repetition_penalty = 1.05
    assert badge_value(flow)["detail"] == "cpu · float32 · sdpa · repetition penalty 1.05"
    model.trained = False
    assert badge_value(flow)["detail"].startswith("no glimpse modules: scores are attention at layer 3 · cpu")
    assert badge_value(flow)["trained"] is False


def test_holder_loads_once_fails_clearly_and_can_be_left() -> None:
    calls: list[int] = []
    holder = Holder("tiny", lambda: calls.append(1) or "model")
    assert holder.state == "loading"
    assert [holder.wait(), holder.wait()] == ["model", "model"]
    assert calls == [1]
    assert holder.state == "ready"

    def fail() -> None:
        raise ValueError("no such file")

    failed = Holder("tiny", fail)
    with pytest.raises(GlimpseError, match="tiny could not be loaded. ValueError: no such file"):
        failed.wait()
    gate, cancel = threading.Event(), threading.Event()
    slow = Holder("tiny", lambda: gate.wait(20))
    cancel.set()
    with pytest.raises(Cancelled):
        slow.wait(cancel)
    with pytest.raises(GlimpseError, match="not ready after"):
        slow.wait(timeout=0.1)
    gate.set()


# Handlers -------------------------------------------------------------------------------------------------------


def make_flow(**options: Any) -> tuple[flow.Flow, FakeModel]:
    model = FakeModel(pace=0.0, **options)
    return flow.Flow(Holder("fake", lambda: model), Visitors(4, 60), Gallery(load_examples()), FakeSession.ask), model


DEFAULTS = to_json(Settings())
ASK = (["example:0"], "What is it?", DEFAULTS, 64)


def test_closing_the_generator_stops_the_work() -> None:
    pages, _ = make_flow(words=1000)
    views = pages.ask("me", *ASK)
    next(view for view in views if view.answers and view.answers.get("kept"))
    cancel = pages.visitors.get("me").cancel
    assert not cancel.is_set()
    views.close()
    assert cancel.is_set()


def test_stop_before_the_first_token_leaves_no_result() -> None:
    pages, model = make_flow()
    views = pages.ask("me", *ASK)
    next(views)
    pages.stop("me")
    last = list(views)[-1]
    assert last.status == {"text": texts.STOPPED, "kind": "info"}
    assert model.sessions == []


def test_a_stop_that_overtakes_its_request_ends_it() -> None:
    pages, model = make_flow()
    pages.stop("me", 3)
    for handler in (pages.ask, pages.again):
        assert [view.status for view in handler("me", *ASK, 3)] == [{"text": texts.STOPPED, "kind": "info"}]
    assert list(pages.band("me", *ASK, 3)) == [] and model.sessions == []
    assert list(pages.ask("me", *ASK, 4))[-1].answers["verdict"]["same"] is True


def test_a_stop_that_a_later_request_overtakes_does_not_end_that() -> None:
    pages, _ = make_flow(words=40)
    for stopped, same in ((3, True), (5, None)):
        views = pages.ask("me", *ASK, stopped + 1 if same else stopped)
        next(view for view in views if view.answers and view.answers.get("kept"))
        pages.stop("me", stopped)
        assert list(views)[-1].answers["verdict"]["same"] is same


@given(st.data())
def test_any_order_of_arrival_stops_what_was_stopped(data: st.DataObject) -> None:
    """Requests 1 to 4, some of them stopped: the newest runs unless it is among those, in any order of arrival."""
    stopped = data.draw(st.sets(st.integers(1, 4)))
    sent = [("ask", turn) for turn in range(1, 5)] + [("stop", turn) for turn in sorted(stopped)]
    visitor, events = Visitor(), {}
    for kind, turn in data.draw(st.permutations(sent)):
        if kind == "ask":
            events[turn] = visitor.begin(turn)
        else:
            visitor.stop(turn)
    assert [turn for turn, event in events.items() if not event.is_set()] == [4] * (4 not in stopped)


def test_again_keeps_the_full_answer() -> None:
    pages, model = make_flow()
    done = list(pages.ask("me", *ASK))[-1]
    assert done.answers["verdict"]["same"] is True
    (session,) = model.sessions
    again = list(pages.again("me", *ASK[:2], DEFAULTS | {"threshold": 0.99}, 64))[-1]
    assert session.counters["branch"] == 3
    assert "old" not in done.answers["full"] and again.answers["full"]["old"] is True  # its time is of another run
    assert again.answers["full"]["first"] == done.answers["full"]["first"]
    assert again.answers["verdict"]["same"] is False
    longer = list(pages.again("me", *ASK[:2], DEFAULTS | {"threshold": 0.99}, 3))[-1]  # both answers run anew
    assert session.counters["branch"] == 5
    assert longer.answers["full"]["state"] == "length"


def test_a_further_question_about_the_same_pictures_looks_at_them_no_more() -> None:
    pages, model = make_flow()

    def ask(question: str, source: str = "example:0") -> tuple[int, Any]:
        view = list(pages.ask("me", [source], question, *ASK[2:]))[-1]
        assert pages.visitors.get("me").record["tokens"]["reused"] == model.sessions[-1].reused
        return model.sessions[-1].reused, view.answers.get("reused")

    assert ask("What is it?") == (0, None)
    first = model.sessions[-1]
    reused = len(first.logits) + 8
    assert ask("Where is it?") == (reused, reused)
    assert ask("Where is it?") == (0, None)  # asked again, it is run again
    assert ask("What is it?", "example:1") == (0, None)
    views = pages.ask("me", ["example:1"], "Stopped", *ASK[2:])
    next(views)
    views.close()
    assert ask("And now?", "example:1")[0] > 0  # what was there before the stop is still there
    pages.turn_away("me")
    assert ask("And then?", "example:1") == (0, None)


def test_again_about_something_else_is_asked_anew() -> None:
    pages, model = make_flow()
    list(pages.ask("me", *ASK))
    list(pages.again("me", ASK[0], "And this?", *ASK[2:]))
    list(pages.again("me", ["example:1"], "And this?", *ASK[2:]))
    assert [session.question for session in model.sessions] == ["What is it?", "And this?", "And this?"]
    assert pages.visitors.get("me").sources == ["example:1"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("threshold", "0.5", "a number from 0 to 1"),
        ("threshold", float("nan"), "a number from 0 to 1"),
        ("threshold", -0.1, "a number from 0 to 1"),
        ("threshold", None, "a number from 0 to 1"),
        ("max_ratio", 1.01, "a number from 0 to 1 or none"),
        ("max_ratio", True, "a number from 0 to 1 or none"),
        ("min_tokens", -1, "an integer from 0 to 100000"),
        ("min_tokens", 1e9, "an integer from 0 to 100000"),
        ("budget", -1, "an integer from 1 to 100000 or none"),
        ("budget", 2.5, "an integer from 1 to 100000 or none"),
    ],
)
def test_settings_from_the_browser_are_checked(name: str, value: Any, expected: str) -> None:
    pages, model = make_flow()
    last = list(pages.ask("me", *ASK[:2], DEFAULTS | {name: value}))[-1]
    assert last.status["kind"] == "error"
    assert last.status["text"].endswith(f" is {shown(value)}. Expected {expected}.")
    assert model.sessions == []


@pytest.mark.parametrize("length", [0, 100_000, [64], None, "64", True])
def test_the_length_from_the_browser_is_checked(length: Any) -> None:
    pages, model = make_flow()
    last = list(pages.ask("me", *ASK[:3], length))[-1]
    assert last.status["kind"] == "error" and "Expected an integer from 1 to 256" in last.status["text"]
    assert model.sessions == []


@pytest.mark.parametrize("settings", [7, "all", [], {"thresholds": 0.5}])
def test_settings_that_are_none_are_refused(settings: Any) -> None:
    pages, model = make_flow()
    assert list(pages.ask("me", *ASK[:2], settings))[-1].status["kind"] == "error"
    assert model.sessions == []


@pytest.mark.parametrize("question", ["", "  \n", None, 7, ["what"]])
def test_questions_from_the_browser_are_checked(question: Any) -> None:
    pages, _ = make_flow()
    assert list(pages.ask("me", ["example:0"], question))[-1].status["text"] == texts.NO_QUESTION


@pytest.mark.parametrize("source", ["example:99", "example:-1", "example:٣", "/etc/hostname", ""])
def test_unknown_pictures_are_refused(source: str) -> None:
    pages, _ = make_flow()
    assert list(pages.ask("me", [source], *ASK[1:]))[-1].status["kind"] == "error"


@given(some_settings(560))
def test_what_the_browser_sends_is_what_it_has(settings: Settings) -> None:
    assert inputs.read_options(to_json(settings)).settings == settings


def test_the_sentence_on_speed_is_honest() -> None:
    assert "last 9 of 28 layers" in texts.faster(28, 18, 0.31)
    assert "31% less" in texts.faster(28, 18, 0.31)
    assert "first 19 layers" in texts.faster(28, 18, 0.31)
    assert "3% more compute" in texts.faster(4, 2, -0.03)
    assert "costs as much as before" in texts.faster(28, 1000, 0.0)


def test_the_page_lists_what_the_demo_world_holds() -> None:
    said = texts.DEMO_KNOWS.replace("\n", " ")
    assert "(" + ", ".join(KINDS) + ")" in said
    assert len(KINDS) == 16 and "sixteen kinds" in said
    assert len(COLORS) == 8 and "eight colors" in said
    assert MAX_LABEL == 4 and "one to four characters" in said


def test_examples_are_complete_and_what_the_world_draws_today() -> None:
    examples = load_examples()
    for example, seed in zip(examples, SEEDS, strict=True):
        known = {question.text: question.answer for question in questions(scene(seed))}
        for text, answer in example.questions:
            assert known[text] == answer, "run `make examples`"
    assert len(examples) >= 6
    for example in examples:
        assert open_picture(example.path).size
        assert len(example.questions) >= 3
        question, answer = example.questions[0]
        assert example.truth(question) == answer
        assert example.truth("Who are you?") is None
    assert sum(example.path.stat().st_size for example in examples) < 500_000


@pytest.mark.parametrize("pace", [0.0, 60.0], ids=["update due", "update not due"])
def test_a_request_that_was_overtaken_says_nothing_more(pace: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suggestion is clicked while an answer runs: the first request ends after the second one has begun."""
    monkeypatch.setattr(streaming, "PACE", pace)
    pages, model = make_flow(words=50)
    first = pages.ask("me", ASK[0], "First?", *ASK[2:])
    for view in first:
        if view.answers and view.answers["kept"]:
            break
    second = pages.ask("me", ASK[0], "Second?", *ASK[2:])
    assert next(second).status["kind"] == "busy"
    (rest,) = list(first)
    assert rest == View()  # neither buttons nor answers
    assert pages.visitors.get("me").record is None
    last = list(second)[-1]
    assert last.answers["question"] == "Second?" and last.answers["verdict"]["same"] is True
    assert pages.visitors.get("me").record["question"] == "Second?"
    assert len(pages.queue) == 0


def test_requests_that_arrive_in_another_order_stop_nothing_newer() -> None:
    pages, model = make_flow(words=50)
    views = pages.ask("me", *ASK, 5)
    next(view for view in views if view.answers and view.answers.get("kept"))
    assert list(pages.ask("me", ASK[0], "Late?", *ASK[2:], 4)) == []
    assert list(pages.band("me", *ASK, 3)) == []
    pages.stop("me", 4)
    pages.turn_away("me", 2)
    done = list(views)[-1]
    assert done.answers["verdict"]["same"] is True and [one.question for one in model.sessions] == ["What is it?"]
    assert pages.visitors.get("me").session is model.sessions[0]
    pages.turn_away("me", 6)
    assert pages.visitors.get("me").session is None and pages.visitors.get("me").record is None


def test_whoever_turned_to_another_picture_is_told_nothing() -> None:
    pages, _ = make_flow(words=50)
    views = pages.ask("me", *ASK)
    next(view for view in views if view.answers and view.answers.get("kept"))
    pages.turn_away("me")
    assert list(views) == [View()]
