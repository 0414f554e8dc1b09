"""Several methods on one question: equal budgets, each mask and answer its own, and reasons where one cannot."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from glimpse_core import pruners
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.types import Sampling
from glimpse_core.ui import comparison
from tests.browser.test_engine import TINY
from tests.support.tiny_folder import write_base

SHORT = Sampling(max_new_tokens=3)


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
    done = list(comparison.run_methods(session, images, names, 25, SHORT))
    assert [result["name"] for result in done] == ["none", *names]
    full, *rest = done
    assert full["kept"] == full["total"] == 80 and full["same"] and full["kv"] == 1.0
    assert full["text"] == session.answer(None, SHORT).complete().text
    for result in rest:
        assert result["kept"] == sum(result["mask"]) == 20, result["name"]
        pruned = session.prune(pruners.build(result["name"], session.model, ratio=0.25))
        assert result["mask"] == pruned.kept[0].int().tolist()
        assert result["text"] == session.answer_of(pruned, SHORT).complete().text
        assert result["same"] == (result["text"].split() == full["text"].split())
        assert result["src"].startswith("data:image/jpeg;base64,") and result["first"] > 0
    assert full["mask"] == [1] * 80 and full["first"] > 0
    shares = {result["name"]: result["prefill"] for result in rest}
    assert shares["random"] == 0.25 < shares["glimpse"]  # one drops before the decoder, one inside
    assert len({tuple(result["mask"]) for result in rest}) >= 4
    sheet = comparison.sheet(images, session.grids, done)
    assert sheet.width > sheet.height > 300


def test_every_method_does_all_of_its_work_while_it_is_timed(
    session: Session, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, work = type(session.model.backbone), []
    encode, clock = backbone.encode_images, comparison.time.perf_counter
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: work.append("clock") or clock())
    monkeypatch.setattr(backbone, "encode_images", lambda *args, **more: work.append("encode") or encode(*args, **more))
    for _ in comparison.run_methods(session, images, ["glimpse", "random", "fastv"], 25, SHORT):
        assert work[:3] == ["clock", "encode", "clock"]
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
    done = list(comparison.run_methods(session, images, ["fastv", "grid"], 25, SHORT))
    assert done[1]["error"] == "fastv needs more layers: choose another model" and "mask" not in done[1]
    assert sum(done[2]["mask"]) == 20


def test_stopping_ends_it_within_an_answer(session: Session, images: list[Image.Image]) -> None:
    cancel = threading.Event()
    steps = comparison.run_methods(session, images, ["grid", "random"], 25, SHORT, cancel)
    next(steps)
    cancel.set()
    with pytest.raises(Cancelled):
        next(steps)


def test_every_method_that_is_offered_can_be_built(session: Session, images: list[Image.Image]) -> None:
    names = [name for _, name in comparison.offered()]
    assert "glimpse" in names and "mask" not in names and len(names) >= 6
    done = list(comparison.run_methods(session, images, names, 50, Sampling(max_new_tokens=1)))
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


def test_pictures_are_drawn_side_by_side_where_there_are_several() -> None:
    from glimpse_core.types import Grid

    pair = [Image.new("RGB", (56, 56), "red"), Image.new("RGB", (56, 28), "blue")]
    grids = (Grid(2, 2), Grid(1, 2))
    assert comparison.drawn(pair, grids, np.ones(6), "kept").startswith("data:image/jpeg")
    with pytest.raises(GlimpseError):
        comparison.sheet(pair, grids, [])
