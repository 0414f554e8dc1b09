"""`train familiarity`: what it learns from, what it writes, and what it says of other images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from glimpse_core import world
from glimpse_core.__main__ import main
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import FILE, WorldStatistics, features, load
from glimpse_core.models import catalog
from glimpse_core.training import familiarity as training
from tests.support.tiny_folder import write_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Small scenes and pages; the seeds that were drawn."""
    drawn: list[int] = []

    def scene(seed: int) -> world.Scene:
        drawn.append(seed)
        return world.scene(seed, size=(168, 196))

    def page(seed: int) -> world.Page:
        drawn.append(-seed)
        return world.page(seed, size=(560, 560))

    kinds = {"scene": (scene,), "page": (page,), "both": (scene, page)}
    monkeypatch.setattr(training, "KINDS", kinds)
    return drawn


def test_the_command_learns_judges_and_writes(
    folder: Path, small: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos" / "deeper"
    photos.mkdir(parents=True)
    Image.effect_noise((90, 60), 90).save(photos / "noise.png")
    Image.new("RGB", (60, 90), (250, 0, 0)).save(photos / "red.JPG")
    (photos / "notes.txt").write_text("no image")
    options = ["--model", str(folder), "--out", str(tmp_path / "out"), "--count", "8", "--check", "3", "--seed", "77"]
    assert main(["train", "familiarity", *options, "--photos", str(tmp_path / "photos")]) == 0
    assert small == [*range(6_000_000, 6_000_008), 6_000_008, 6_000_009, 77, 78, 79]
    printed = capsys.readouterr().out
    assert f"written: {tmp_path / 'out' / FILE}" in printed
    assert "of 3 images of the world from seed 77 count as familiar" in printed and "of 2 files of" in printed
    found, model = load(tmp_path / "out"), catalog.load(str(folder), device="cpu")
    assert found is not None and model.world is None
    others = training.describe(model, training.world_images("scene", 6_000_008, 2))
    assert found.limit == pytest.approx(1.1 * max(map(float, _distances(found, others))), rel=1e-5)


def _distances(statistics: WorldStatistics, described: torch.Tensor) -> torch.Tensor:
    return ((described - statistics.center) @ statistics.whitener).square().mean(1).sqrt()


def test_statistics_beside_the_weights_are_loaded_with_them(folder: Path, small: list[int], tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    assert main(["train", "familiarity", "--model", str(base), "--out", str(base), "--count", "8", "--check", "1"]) == 0
    found = catalog.load(str(base), device="cpu").world
    assert found is not None and torch.equal(found.center, load(base).center)


def test_scenes_and_pages_take_turns(small: list[int]) -> None:
    images = list(training.world_images("both", 5, 3))
    assert small == [5, -6, 7]
    assert [image.size for image in images] == [(168, 196), (560, 560), (168, 196)]


def test_images_are_described_one_by_one(folder: Path, small: list[int]) -> None:
    model = catalog.load(str(folder), device="cpu")
    images = list(training.world_images("scene", 1, 2))
    prompt = model.require_processor().prompt(model.backbone, [images[1]], "Another question?")
    alone = features(model.backbone.encode_images(prompt, ()).embeds)
    assert torch.allclose(training.describe(model, images)[1], alone, atol=1e-5), "whatever is asked"
    rates = training.rates(around(training.describe(model, images)), training.describe(model, images))
    assert (rates.count, rates.familiar) == (2, 1) and rates.least < 1 < rates.most


def around(described: torch.Tensor) -> WorldStatistics:
    """Statistics around the first of two images, from which the second is too far away."""
    away = float((described[1] - described[0]).square().mean().sqrt())
    return WorldStatistics(described[0], torch.eye(described.shape[1]) * 2 / away, 1.0)


def test_impossible_requests_are_explained(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["train", "familiarity", "--model", str(folder), "--out", str(tmp_path)]
    assert main([*options, "--count", "7"]) == 2
    assert "Expected at least 8 and 1" in capsys.readouterr().err
    with pytest.raises(GlimpseError, match="holds no image"):
        training.photographs(tmp_path)
