"""The lmms-eval adapter against a stand-in of the interface that it leans on (the package itself is not installed)."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from glimpse_core import pruners
from glimpse_core.decode import Answer
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import lmms
from glimpse_core.types import Sampling
from tests import tiny
from tests.test_evaluation import folder  # noqa: F401 - a fixture


@pytest.fixture
def registry(monkeypatch):
    """`lmms_eval.api.model.lmms` and `lmms_eval.api.registry.register_model` as version 0.7.3 has them."""
    known = {}

    class Base:
        def __init__(self):
            self.task_dict = {}
            self.cached = []
            self.cache_hook = SimpleNamespace(add_partial=lambda *entry: self.cached.append(entry))

    def register_model(name):
        return lambda kind: known.setdefault(name, kind)

    modules = {
        name: ModuleType(name)
        for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "lmms_eval.api.registry")
    }
    modules["lmms_eval.api.model"].lmms = Base
    modules["lmms_eval.api.registry"].register_model = register_model
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return known


def request(context, settings, doc_id):
    return SimpleNamespace(args=(context, settings, lambda doc: [doc["image"]], doc_id, "gqa", "test"))


def test_answers_are_those_of_the_pruner(registry, folder):  # noqa: F811
    kind = lmms.register()
    assert registry == {"glimpse_pruned": kind} and kind.is_simple
    model = kind(pretrained=str(folder), pruner="random", ratio="0.2", device="cpu", batch_size="1", max_new_tokens=6)
    images = [tiny.picture(168, 140, seed=seed) for seed in range(2)]
    model.task_dict = {"gqa": {"test": [{"image": image} for image in images]}}
    asked = [request("<image>\nWhat is it?", {}, 1), request("Where?", {"max_new_tokens": 3, "until": ["\n\n"]}, 0)]
    answers = model.generate_until(asked)
    for answer, question, image, limit in zip(answers, ("What is it?", "Where?"), images[::-1], (6, 3), strict=True):
        own = model.glimpse_model
        prompt = own.processor.prompt(own.backbone, [image], question)
        pruned = pruners.build("random", own, ratio=0.2)(prompt)
        expected = Answer(own.backbone, lambda p=pruned: p.branch, own.processor.decode, Sampling(max_new_tokens=limit))
        assert answer == own.processor.decode(expected.complete().tokens)
    assert [entry[0] for entry in model.cached] == ["generate_until"] * 2
    with pytest.raises(NotImplementedError):
        model.loglikelihood([])


def test_generation_arguments():
    assert lmms.generation({}, 7) == {"max_new_tokens": 7, "num_beams": 1, "do_sample": False}
    warm = lmms.generation({"temperature": 0.5, "max_new_tokens": 3, "num_beams": 2}, 7)
    assert warm == {"max_new_tokens": 3, "num_beams": 2, "do_sample": True, "temperature": 0.5, "top_p": 1.0}
    assert lmms.stops({"until": ["\n\n", "###"]}) == ["###"] and lmms.stops({"until": "END"}) == ["END"]


def test_without_the_package_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    with pytest.raises(GlimpseError, match="pip install lmms-eval"):
        lmms.register()
