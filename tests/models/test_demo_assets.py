"""The committed demo model: small, complete, and good enough on scenes that no training has seen."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.types import Sampling, Selection
from glimpse_core.world import held_out_item, questions, scene

STRANGE = [
    ((28, 28), "hi"),
    ((1, 30), "中文 😀"),
    ((500, 40), "x" * 500),
    ((1000, 1400), "<|image_pad|> what?"),
    ((57, 57), "?"),
]
DEMO = Path(__file__).parents[2] / "assets" / "demo"


@pytest.fixture(scope="module")
def model():
    return catalog.load("demo")


def answer(session: Session, mask: torch.Tensor | None) -> str:
    stream = session.answer(mask, Sampling(max_new_tokens=120))
    for _ in stream:
        pass
    return stream.text


def test_folder_is_complete_and_small() -> None:
    names = {path.name for path in DEMO.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", "glimpse"} <= names
    assert {path.name for path in (DEMO / "glimpse").iterdir()} >= {"config.json", "glimpse.safetensors"}
    size = sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file())
    assert size < 24 * 2**20


def test_easy_questions_are_answered_with_few_tokens(model) -> None:
    """Twenty held-out questions about one object: right with all tokens and with those that the glimpse keeps."""
    full = pruned = asked = 0
    kept_shares = []
    for index in range(20):
        picture, question = held_out_item(10_800_000, (index % 2) + 10 * index, 200)  # color and name in turn
        session = Session.ask(model, [picture.image], question.text)
        kept = session.select(Selection(0.5))
        full += answer(session, None) == question.answer
        pruned += answer(session, kept.mask) == question.answer
        kept_shares.append(float(kept.mask.float().mean()))
        asked += 1
    assert full >= asked - 2 and pruned >= asked - 3, (full, pruned, asked)
    assert sum(kept_shares) / asked < 0.15


def test_what_is_kept_matters(model) -> None:
    """Without the tokens that the glimpse keeps, the answers fall apart."""
    right = 0
    for index in range(10):
        picture, question = held_out_item(10_900_000, 10 * index, 100)
        session = Session.ask(model, [picture.image], question.text)
        right += answer(session, session.inverse(session.select(Selection(0.5)))) == question.answer
    assert right <= 6


def test_describing_the_scene_keeps_more_than_one_color(model) -> None:
    shares: dict[str, list[float]] = {"color": [], "scene": []}
    for seed in range(10_700_000, 10_700_008):
        picture = scene(seed)
        for question in questions(picture):
            if question.type in shares and (question.type == "scene" or not shares["color"][len(shares["scene"]) :]):
                session = Session.ask(model, [picture.image], question.text)
                shares[question.type].append(float(session.select(Selection(0.5)).mask.float().mean()))
    assert sum(shares["scene"]) / len(shares["scene"]) > 2 * sum(shares["color"]) / len(shares["color"])


@pytest.mark.parametrize(("size", "text"), STRANGE)
def test_any_picture_and_any_text_are_survived(model, size, text) -> None:
    session = Session.ask(model, [Image.new("RGB", size, (200, 120, 40))], text)
    assert session.probabilities.shape == (sum(grid.tokens for grid in session.grids),)
    stream = session.answer(session.select(Selection(0.5)).mask, Sampling(max_new_tokens=8))
    assert 1 <= len(list(stream)) <= 8
