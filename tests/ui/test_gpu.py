"""ZeroGPU, with a stand-in for the `spaces` package that really runs the work in another process."""

from __future__ import annotations

import inspect
import multiprocessing
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from glimpse_core.ui import gpu, texts
from glimpse_core.ui.api import Api
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.visitors import Visitors
from tests.browser.fake import FakeModel, FakeSession

SETTINGS = {"threshold": 0.5}
FORK = multiprocessing.get_context("fork")


class Spaces(ModuleType):
    """`spaces.GPU` as on ZeroGPU: arguments and yields are pickled, the work runs in a forked process, and a closed
    stream stops the work at its next yield. `durations` holds what was asked for."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.durations: list[int] = []
        self.refuse: Exception | None = None

    def GPU(self, task: Callable[..., Any], duration: Callable[..., int]) -> Callable[..., Any]:
        def stream(*args: Any) -> Iterator[Any]:
            self.durations.append(duration(*args))
            if self.refuse:
                raise self.refuse
            ours, theirs = FORK.Pipe()
            worker = FORK.Process(target=self._work, args=(ours, theirs, task, pickle.dumps(args)))
            worker.start()
            theirs.close()
            try:
                while (item := ours.recv()) is not None:
                    if isinstance(item, Exception):
                        raise item
                    yield item[0]
                    ours.send("more")
            finally:
                ours.close()
                worker.join(10)
                assert worker.exitcode == 0

        if inspect.isgeneratorfunction(task):
            return stream
        return lambda *args: list(stream(*args))[0]

    @staticmethod
    def _work(other: Any, pipe: Any, task: Callable[..., Any], packed: bytes) -> None:
        other.close()  # else the end of the stream would never show
        try:
            found = task(*pickle.loads(packed))
            for value in found if inspect.isgeneratorfunction(task) else [found]:
                pipe.send([value])
                pipe.recv()
            pipe.send(None)
        except EOFError:  # nobody listens any more
            return
        except Exception as error:
            pipe.send(error)


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> Spaces:
    stand_in = Spaces()
    monkeypatch.setitem(sys.modules, "spaces", stand_in)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return stand_in


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "red.png"
    image = Image.new("RGB", (168, 112), "gray")
    image.paste((250, 0, 0), (0, 0, 28, 28))
    image.save(path)
    return str(path)


def flow_of(model: FakeModel) -> Flow:
    holder = Holder("fake", lambda: model)
    holder.start(background=False)
    return Flow(holder, Visitors(4, 60.0), Gallery(()), FakeSession.ask)


def test_loading_in_the_foreground_is_done_when_it_returns() -> None:
    seen = []
    holder = Holder("fake", lambda: seen.append(threading.current_thread().name) or FakeModel())
    holder.start(background=False)
    assert holder.state == "ready" and seen == [threading.current_thread().name]
    holder.start()
    assert holder.wait().name == "fake" and len(seen) == 1


def test_elsewhere_nothing_is_decorated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)  # not installed
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    flow = flow_of(FakeModel())
    assert gpu.runner(flow) is flow and gpu.borrow(flow.ask, lambda: 1) == flow.ask


def test_a_question_runs_in_the_other_process_and_leaves_a_record_here(spaces: Spaces, picture: str) -> None:
    model = FakeModel(pace=0.0)
    flow = flow_of(model)
    borrowed = gpu.runner(flow)
    views = list(borrowed.ask("visitor", [picture], "What is red?", SETTINGS, 64, 0))
    assert views[-1].answers["verdict"]["text"] == "Different answers"
    assert model.sessions == [] and flow.visitors.get("visitor").session is None  # this process ran no model
    record = flow.visitors.get("visitor").record
    assert record["question"] == "What is red?" and record["tokens"]["kept"] == 1
    assert flow.visitors.get("other").record is None

    views = list(borrowed.again("visitor", [picture], "What is red?", {"threshold": 0.99}, 64, 0))
    assert views[-1].answers["rule"] == "relevance above 0.99"
    assert flow.visitors.get("visitor").record["settings"]["threshold"] == 0.99
    assert flow.visitors.get("other").record is None


def test_stop_ends_the_work_in_the_other_process(spaces: Spaces, picture: str) -> None:
    flow = flow_of(FakeModel(pace=0.02, words=60))
    views = gpu.runner(flow).ask("visitor", [picture], "What is red?", SETTINGS, 64, 0)
    began = time.monotonic()
    for view in views:
        if view.answers and view.answers["full"]:
            flow.stop("visitor")
            break
    last = list(views)[-1]
    assert last.status["text"] == texts.STOPPED and last.answers["kept"]["state"] == "cancelled"
    assert time.monotonic() - began < 60 * 2 * 0.02  # not to its end; the stand-in checks that its process is gone


def test_a_request_that_was_stopped_before_it_arrived_borrows_nothing(spaces: Spaces, picture: str) -> None:
    flow = flow_of(FakeModel())
    flow.stop("visitor", 2)
    spaces.refuse = gr.Error("borrowed")
    views = list(gpu.runner(flow).ask("visitor", [picture], "What is red?", SETTINGS, 64, 2))
    assert [view.status["text"] for view in views] == [texts.STOPPED]


def test_no_quota_left_is_said_and_the_page_goes_on(spaces: Spaces, picture: str) -> None:
    borrowed = gpu.runner(flow_of(FakeModel(pace=0.0)))
    spaces.refuse = gr.Error("You have exceeded your GPU quota")
    views = list(borrowed.ask("visitor", [picture], "What is red?", SETTINGS, 64, 0))
    assert views[-1].status["text"] == "You have exceeded your GPU quota"
    spaces.refuse = None
    assert (
        list(borrowed.ask("visitor", [picture], "What is red?", SETTINGS, 64, 0))[-1].answers["verdict"]["text"]
        == "Different answers"
    )


def test_bad_input_is_said_as_anywhere(spaces: Spaces, picture: str) -> None:
    borrowed = gpu.runner(flow_of(FakeModel(pace=0.0)))
    views = list(borrowed.ask("visitor", [picture], " ", SETTINGS, 64, 0))
    assert views[-1].status["text"] == texts.NO_QUESTION


def test_the_time_asked_for_grows_with_picture_and_answer(spaces: Spaces, tmp_path: Path) -> None:
    paths = []
    for side in (112, 1120, 2240):
        paths.append(str(tmp_path / f"{side}.png"))
        Image.new("RGB", (side, side)).save(paths[-1])
    borrowed = gpu.runner(flow_of(FakeModel(pace=0.0)))
    for path in paths:
        list(borrowed.ask("visitor", [path], "What?", SETTINGS, 64, 0))
    list(borrowed.ask("visitor", [paths[1]], "What?", SETTINGS, 256, 0))
    list(borrowed.ask("visitor", [paths[1]] * 4, "What?", SETTINGS, 64, 0))
    small, middle, large, longer, four = spaces.durations
    assert small < middle < large and middle < longer and middle < four
    assert middle == 8 + int(0.002 * 1600 + 0.08 * 64) + 1
    assert max(gpu.seconds_for(paths * 20, 256), gpu.seconds_for(["missing.png"], "long")) <= gpu.LIMIT
    assert gpu.seconds_for(["missing.png"], None) == 8


def test_the_api_borrows_a_gpu_too(spaces: Spaces, picture: str) -> None:
    model = FakeModel(pace=0.0)
    api = Api(flow_of(model), dict)
    record = api.ask([picture], "What is red?", {})
    assert record["tokens"]["kept"] == 1 and model.sessions == [] and len(spaces.durations) == 1
    with pytest.raises(gr.Error, match="There is no question yet"):
        api.ask([picture], "", {})
    assert len(spaces.durations) == 1  # nothing is borrowed for a call that cannot work
