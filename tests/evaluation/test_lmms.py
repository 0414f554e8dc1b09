"""The lmms-eval adapter against a stand-in of the interface that it leans on (the package itself is not installed).

The stand-in does what version 0.7.3 does: its evaluator asks a registry of manifests for a model's name, imports the
class by its path, checks what it is, and makes it from a string of arguments; `register_model` is not asked.
"""

import abc
import importlib
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pytest

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import lmms
from glimpse_core.inference.decoding import Answer
from glimpse_core.types import Sampling
from tests.support import tiny


class Base(abc.ABC):
    is_simple = True

    def __init__(self):
        self._rank, self._world_size, self.task_dict, self.cached = 0, 1, {}, []
        self.cache_hook = SimpleNamespace(add_partial=lambda *entry: self.cached.append(entry))

    @abc.abstractmethod
    def loglikelihood(self, requests): ...

    @abc.abstractmethod
    def generate_until(self, requests): ...

    @abc.abstractmethod
    def generate_until_multi_round(self, requests): ...

    @classmethod
    def create_from_arg_string(cls, text, more):
        pairs = (pair.split("=", 1) for pair in text.split(","))
        given = {name: float(value) if value.replace(".", "", 1).isdigit() else value for name, value in pairs}
        return cls(**given, **{name: value for name, value in more.items() if value is not None})


@dataclass(frozen=True)
class Manifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


class Registry(dict):
    def register_manifest(self, manifest, *, overwrite=False):
        assert overwrite or manifest.model_id not in self
        self[manifest.model_id] = manifest

    def get_model_class(self, name):
        place, kind = self[name].simple_class_path.rsplit(".", 1)
        found = getattr(importlib.import_module(place), kind)
        assert issubclass(found, Base) and found.is_simple
        return found


@pytest.fixture
def registry(monkeypatch):
    """`lmms` of lmms_eval.api.model, `MODEL_REGISTRY_V2` of lmms_eval.models, `ModelManifest` of its registry_v2."""
    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "lmms_eval.models", "lmms_eval.models.registry_v2")
    modules = {name: ModuleType(name) for name in names}
    modules["lmms_eval.api.model"].lmms = Base
    modules["lmms_eval.models"].MODEL_REGISTRY_V2 = known = Registry()
    modules["lmms_eval.models.registry_v2"].ModelManifest = Manifest
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    lmms._model_class.cache_clear()
    yield known
    lmms._model_class.cache_clear()


def request(context, settings, doc_id):
    return SimpleNamespace(args=(context, settings, lambda doc: [doc["image"]], doc_id, "gqa", "test"))


def test_answers_are_those_of_the_pruner(registry, folder):
    kind = lmms.register()
    assert lmms.register() is kind is registry.get_model_class("glimpse_pruned")
    model = kind.create_from_arg_string(
        f"pretrained={folder},pruner=random,ratio=0.2,max_new_tokens=6",
        {"batch_size": 1, "max_batch_size": None, "device": "cpu"},
    )
    images = [tiny.picture(168, 140, seed=seed) for seed in range(2)]
    model.task_dict = {"gqa": {"test": [{"image": image} for image in images]}}
    asked = [request("<image>\nWhat is it?", {}, 1), request("Where?", {"max_new_tokens": 3, "until": ["\n\n"]}, 0)]
    answers = model.generate_until(asked)
    for answer, question, image, limit in zip(answers, ("What is it?", "Where?"), images[::-1], (6, 3), strict=True):
        own = model.glimpse_model
        prompt = own.processor.prompt(own.backbone, [image], question)
        pruned = pruners.build("random", own, ratio=0.2)(prompt)
        expected = Answer(
            own.backbone, prompt, lambda p=pruned: p.branch, own.processor.decode, Sampling(max_new_tokens=limit)
        )
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
    for name in ("lmms_eval", "lmms_eval.models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(GlimpseError, match="pip install lmms-eval"):
        lmms.register()
    with pytest.raises(AttributeError):
        _ = lmms.GlimpseDiscarded
