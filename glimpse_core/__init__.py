"""GlimpsePrune (arXiv 2508.01548) as a library: what a vision-language model keeps of an image, and answers from it.

    from PIL import Image

    import glimpse_core as glimpse

    model = glimpse.load("demo")
    session = glimpse.Session.ask(model, Image.open("scene.webp"), "What color is the chair?")
    kept = session.select(glimpse.Selection(max_ratio=0.111))
    print(session.answer(kept.mask).complete().text)  # from the kept visual tokens
    print(session.answer(None).complete().text)  # from all of them, after the same first layers

`__all__` lists the public names. Each is imported when it is first used, so `import glimpse_core` loads none of
torch, transformers, Gradio and Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glimpse_core.storage.versions import __version__

if TYPE_CHECKING:  # the names of `_LAZY` once more, for type checkers and editors
    from glimpse_core import pruners as pruners
    from glimpse_core.errors import GlimpseError as GlimpseError
    from glimpse_core.inference.batching import join as join
    from glimpse_core.inference.generation import with_pruning as with_pruning
    from glimpse_core.inference.session import Session as Session
    from glimpse_core.models import catalog as catalog
    from glimpse_core.models.catalog import load as load
    from glimpse_core.models.entries import list_models as list_models
    from glimpse_core.types import Sampling as Sampling
    from glimpse_core.types import Selection as Selection

__all__ = [
    "GlimpseError",
    "Sampling",
    "Selection",
    "Session",
    "__version__",
    "catalog",
    "join",
    "list_models",
    "load",
    "pruners",
    "with_pruning",
]

# Public name -> the module it is in, and its name there; a module of this package stands for itself.
_LAZY = {
    "GlimpseError": "glimpse_core.errors:GlimpseError",
    "Sampling": "glimpse_core.types:Sampling",
    "Selection": "glimpse_core.types:Selection",
    "Session": "glimpse_core.inference.session:Session",
    "catalog": "glimpse_core.models.catalog",
    "join": "glimpse_core.inference.batching:join",
    "list_models": "glimpse_core.models.entries:list_models",
    "load": "glimpse_core.models.catalog:load",
    "pruners": "glimpse_core.pruners",
    "with_pruning": "glimpse_core.inference.generation:with_pruning",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used. Raises AttributeError for any other name."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, _, attribute = _LAZY[name].partition(":")
    module = import_module(place)
    globals()[name] = value = getattr(module, attribute) if attribute else module
    return value


def __dir__() -> list[str]:
    """Return the names of this module, those not imported yet included."""
    return sorted({*globals(), *__all__})
