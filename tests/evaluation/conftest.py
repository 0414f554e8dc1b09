"""A tiny random model on disk, and small scenes, so that an evaluation takes milliseconds."""

from dataclasses import replace

import pytest
import torch

from glimpse_core import world
from glimpse_core.models import catalog, checkpoint
from glimpse_core.types import GlimpseConfig
from tests.support.tiny_folder import write_base

SMALL = {"vip_size": 16, "vip_condition_size": 16, "vip_heads": 2}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A base with glimpse modules in its subfolder, and others for another K beside it."""
    base = write_base(tmp_path_factory.mktemp("base"))
    for layer, place in ((1, "glimpse"), (2, "deeper")):
        config = GlimpseConfig(layer, (layer,), (0, 1, 2, 3), (1,), **SMALL)
        torch.manual_seed(layer)
        model = catalog.load(str(base), glimpse=config, device="cpu")
        for parameter in [*model.glimpse.parameters(), *model.vip.parameters()]:
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
        checkpoint.save(base / place, config, model.glimpse, model.vip)
    return base


@pytest.fixture
def small_scenes(monkeypatch):
    """The world's questions, asked about small scenes, whose boxes may lie elsewhere. One type has no evidence."""
    questions = world.questions(world.scene(0, size=(336, 336)))
    asked = {kind: next(question for question in questions if question.type == kind) for kind in world.TYPES}
    asked["exist"] = next(question for question in questions if question.type == "exist" and not question.boxes)

    def item(seed, index, count, order=world.TYPES):
        return world.scene(seed + index, size=(168, 196)), asked[order[index % len(order)]]

    monkeypatch.setattr(world, "held_out_item", item)


@pytest.fixture
def small_pages(monkeypatch):
    """The questions about a page, asked about small pictures."""
    page = world.page(3, size=(560, 560))
    asked = {question.type: question for question in world.page_questions(page)}
    small = replace(page, image=page.image.resize((168, 196)))

    def item(seed, index, count, order=world.PAGE_TYPES):
        kind = order[index % len(order)]
        return replace(small, seed=seed + index), asked[kind if kind in asked else "about"]

    monkeypatch.setattr(world, "page_item", item)
