"""lmms-eval through pruned generation: its model interface, answered by a drop-in model's `generate`.

    from glimpse_core.evaluation import lmms
    lmms.register()
    # then lmms_eval.evaluator.simple_evaluate(model="glimpse_pruned",
    # model_args="pretrained=qwen2.5-vl-3b,pruner=fastv,ratio=0.111", tasks=[...])

lmms-eval is not among this repository's requirements. The tests hold the adapter against a stand-in of version 0.7.3's
interface. What is leaned on: the base class `lmms`; the registry of manifests that its evaluator looks models up in by
the path of their class; `create_from_arg_string`; requests whose `args` are (context, generation arguments,
doc_to_visual, doc id, task, split); and `task_dict[task][split][doc id]` and `cache_hook` on the model. Images only,
one request and one process at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.generation import with_pruning
from glimpse_core.models import catalog
from glimpse_core.pruners.build import Policy

NAME = "glimpse_pruned"
CLASS = "GlimpsePruned"
PLACEHOLDER = "<image>"


def register() -> type:
    """Register the model with lmms-eval, and return its class. Raises GlimpseError without a fitting lmms-eval."""
    try:
        from lmms_eval.models import MODEL_REGISTRY_V2
        from lmms_eval.models.registry_v2 import ModelManifest
    except ImportError as error:
        raise GlimpseError(
            f"lmms-eval is not installed, or too old ({error}). Expected 0.7.3: pip install lmms-eval==0.7.3"
        ) from error
    manifest = ModelManifest(model_id=NAME, simple_class_path=f"{__name__}.{CLASS}")
    MODEL_REGISTRY_V2.register_manifest(manifest, overwrite=True)
    return _model_class()


def __getattr__(name: str) -> type:
    """The class by its name, where the registry looks for it; made only then, since its base belongs to lmms-eval."""
    if name != CLASS:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return _model_class()


@functools.cache
def _model_class() -> type:
    from lmms_eval.api.model import lmms

    return type(CLASS, (Adapter, lmms), {"is_simple": True, "__module__": __name__})


class Adapter:
    """lmms-eval's model interface.

    Attributes:
        task_dict, cache_hook: set by lmms-eval's base class.
    """

    task_dict: Any
    cache_hook: Any

    def __init__(
        self,
        pretrained: str = "qwen2.5-vl-3b",
        pruner: str = "glimpse",
        ratio: float | None = None,
        policy: Policy = "published",
        glimpse: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        attn: str = "auto",
        max_new_tokens: int = 1024,
        batch_size: int | str = 1,
    ) -> None:
        """Load a model.

        Args:
            pretrained, glimpse, device, dtype, attn: as `catalog.load` takes them.
            pruner: as in `evaluate --methods`.
            ratio: its budget; None for its own.
            policy: see `pruners.build`.
            max_new_tokens: most tokens of an answer, where a task does not say.
            batch_size: accepted, and not used.
        """
        super().__init__()
        model = catalog.load(pretrained, glimpse=glimpse, dtype=dtype, device=device or "auto", attn=attn)
        share = None if ratio is None else float(ratio)
        self.glimpse_model, self.processor, self.max_new_tokens = model, model.require_processor(), int(max_new_tokens)
        self.hf: Any = with_pruning(model, pruners.build(pruner, model, ratio=share, policy=policy))

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return one answer per request, in their order."""
        return [self._answer(*request.args) for request in requests]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse chats. Raises NotImplementedError."""
        raise NotImplementedError(
            "A chat was given, which cannot go on after its images were pruned. Expected a generate_until task."
        )

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse tasks that score given answers. Raises NotImplementedError."""
        raise NotImplementedError(
            "A task that scores given answers was given. Expected a generate_until task: choose one."
        )

    def _answer(
        self,
        context: str,
        settings: dict[str, Any],
        doc_to_visual: Callable[[Any], Sequence[Any]],
        doc_id: int,
        task: str,
        split: str,
    ) -> str:
        model = self.glimpse_model
        images = list(doc_to_visual(self.task_dict[task][split][doc_id]) or ())
        prompt = self.processor.prompt(model.backbone, images, context.replace(PLACEHOLDER, "").strip())
        names = ["input_ids", "attention_mask", "pixel_values"]
        if prompt.image_grid_thw is not None:  # Qwen's
            names += ["image_grid_thw", "mm_token_type_ids"]
        inputs = {name: value for name in names if (value := getattr(prompt, name)) is not None}
        tokens = self.hf.generate(**inputs, **generation(settings, self.max_new_tokens))
        text = self.processor.decode(tokens[0, prompt.input_ids.shape[1] :].tolist())
        for end in stops(settings):
            text = text.split(end)[0]
        self.cache_hook.add_partial("generate_until", (context, settings), text)
        return text


def generation(settings: dict[str, Any], limit: int) -> dict[str, Any]:
    """A task's generation arguments as `generate` takes them: greedy unless it asks for a temperature."""
    chosen = {"max_new_tokens": settings.get("max_new_tokens") or limit, "num_beams": settings.get("num_beams") or 1}
    if (settings.get("temperature") or 0) > 0:
        sampling = {"do_sample": True, "temperature": settings["temperature"], "top_p": settings.get("top_p") or 1.0}
        return chosen | sampling
    return chosen | {"do_sample": False}


def stops(settings: dict[str, Any]) -> list[str]:
    """Texts that end an answer. Blank lines do not: they would cut lists short."""
    until = settings.get("until") or []
    return [end for end in ([until] if isinstance(until, str) else until) if end.strip()]
