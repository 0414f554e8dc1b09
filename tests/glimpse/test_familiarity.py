"""Familiarity against slow definitions; of the demo model, on its scenes and on photographs of installed packages."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import gradio
import numpy as np
import pytest
import torch
from matplotlib import cbook

from glimpse_core import world
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import familiarity
from glimpse_core.glimpse.familiarity import WorldStatistics, features, fit, load, save
from glimpse_core.inference.session import Session
from glimpse_core.media.images import read_image
from glimpse_core.models import catalog
from glimpse_core.types import Grid
from tests.support import tiny

CHANNELS = 5


def images(count: int, seed: int, shift: float = 0.0) -> list[torch.Tensor]:
    """Visual tokens of images whose channels depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(7))
    drawn = []
    for _ in range(count):
        tokens = torch.randn(30 + count % 7, CHANNELS, generator=generator) * (1 + torch.rand(1, generator=generator))
        drawn.append((tokens + torch.randn(CHANNELS, generator=generator)) @ mixing + shift)
    return drawn


def described(tokens: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([features(one) for one in tokens])


@pytest.fixture(scope="module")
def statistics() -> WorldStatistics:
    return fit(described(images(60, 1)), described(images(30, 2)))


def test_features_are_mean_and_spread_of_every_channel() -> None:
    (tokens,) = images(1, 3)
    expected = [sum(column) / len(column) for column in tokens.T.tolist()]
    for column, mean in zip(tokens.T.tolist(), expected[:CHANNELS], strict=True):
        expected.append(math.log(math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))))
    assert features(tokens).tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(features(tokens), features(tokens.clone().to(torch.float64)))
    assert torch.isfinite(features(torch.ones(1, CHANNELS))).all(), "a single token has no spread"


@pytest.mark.parametrize("shrink", [0.05, 0.2, 1.0])
def test_the_distance_is_mahalanobis_of_a_shrunk_covariance(shrink: float) -> None:
    known = described(images(60, 1)).double().numpy()
    statistics = fit(torch.from_numpy(known), described(images(30, 2)), shrink)
    center, spread = known.mean(0), known.std(0)
    covariance = np.cov(known.T, bias=True)
    independent = np.diag(spread**2)
    shrunk = (1 - shrink) * covariance + shrink * independent
    for tokens in images(5, 4):
        away = features(tokens).double().numpy() - center
        expected = math.sqrt(away @ np.linalg.solve(shrunk, away) / len(away))
        assert statistics.distance(tokens) == pytest.approx(expected, rel=1e-3)


def test_the_limit_is_set_by_images_that_the_center_was_not_learned_from() -> None:
    known, others = described(images(60, 1)), images(30, 2)
    statistics = fit(known, described(others), margin=1.5)
    assert statistics.limit == pytest.approx(1.5 * max(map(statistics.distance, others)))
    for few, none in ((known[:1], known), (known, known[:0])):
        with pytest.raises(GlimpseError, match="Expected at least 2 and 1"):
            fit(few, none)


def test_what_is_like_the_world_is_known_and_what_is_not_is_not(statistics: WorldStatistics) -> None:
    own = [statistics.distance(one) for one in images(40, 5)]
    assert 0.5 < sum(own) / len(own) < 2 and sum(value <= statistics.limit for value in own) >= 38
    assert all(statistics.distance(one) > statistics.limit for one in images(20, 6, shift=9.0))
    flat = [one * 1e-3 for one in images(20, 6)]
    assert all(statistics.distance(one) > statistics.limit for one in flat), "means alone would not tell"


def test_a_prompt_is_as_familiar_as_its_least_familiar_image(statistics: WorldStatistics) -> None:
    known, strange = torch.randn(12, CHANNELS), images(1, 6, shift=9.0)[0][:30]
    grids = (Grid(3, 4), Grid(5, 6))
    found = statistics.judge(torch.cat([known, strange]), grids)
    assert found.distance == pytest.approx(statistics.distance(strange)) and found.limit == statistics.limit
    assert not found.familiar
    assert statistics.judge(known, grids[:1]).distance == pytest.approx(statistics.distance(known))


def test_statistics_lie_beside_the_weights(statistics: WorldStatistics, tmp_path: Path) -> None:
    assert load(tmp_path) is None
    path = save(statistics, tmp_path)
    found = load(tmp_path)
    assert found is not None and found.limit == statistics.limit
    assert torch.equal(found.center, statistics.center) and torch.equal(found.whitener, statistics.whitener)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(GlimpseError, match="is damaged"):
        load(tmp_path)
    assert path.name == familiarity.FILE


def test_a_session_judges_its_images() -> None:
    model = tiny.model()
    assert Session(model, tiny.prompt(model)).familiarity is None
    prompt = tiny.prompt(model, (80, 60), (60, 90))
    embeds = model.backbone.encode_images(prompt, ()).embeds
    first, second = embeds.split([grid.tokens for grid in prompt.grids])
    known = torch.stack([features(first + 0.01 * torch.randn(first.shape)) for _ in range(20)])
    knowing = replace(model, world=fit(known, known))
    found = Session(knowing, prompt).familiarity
    assert found is not None and found.distance == pytest.approx(knowing.world.distance(second), rel=1e-4)
    assert not found.familiar and knowing.world.judge(first, prompt.grids[:1]).familiar


def test_the_demo_model_knows_its_scenes_and_nothing_else() -> None:
    model = catalog.load("demo", device="cpu")
    for seed in range(9_400_000, 9_400_006):
        assert Session.ask(model, world.scene(seed).image, "What is here?").familiarity.familiar
    assets = Path(gradio.__file__).parent / "media_assets" / "images"
    person = Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    for path in (assets / "lion.jpg", assets / "tower.jpg", person):
        image = read_image(path)
        image.thumbnail((560, 560))
        found = Session.ask(model, image, "What is here?").familiarity
        assert not found.familiar and found.distance > 1.5 * found.limit, path.name
