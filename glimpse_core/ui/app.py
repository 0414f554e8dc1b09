"""The page with its model: `create_app` builds it, `serve` serves it until it is interrupted.

Nothing is loaded at import. The model loads in a background thread as soon as the page is created.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

with suppress(ImportError):
    import spaces  # noqa: F401  Hugging Face's ZeroGPU: before anything touches CUDA
import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.ui import gpu, texts
from glimpse_core.ui.examples import Example, load_examples
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.page import create_page, launch_options
from glimpse_core.ui.results import Result, load_results
from glimpse_core.ui.visitors import Visitors

__all__ = ["create_app", "default_model", "launch_options", "serve"]


def default_model() -> str:
    """Return the model to serve if none is named: GLIMPSE_MODEL, else the 3B model on ZeroGPU and "demo" elsewhere."""
    return os.environ.get("GLIMPSE_MODEL") or ("qwen2.5-vl-3b" if gpu.zero() else "demo")


def create_app(
    model: str = "demo",
    *,
    glimpse: str | None = None,
    keep_layer: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attn: str = "auto",
    adapter: str | None = None,
    merge: bool = True,
    load: Callable[[], Any] | None = None,
    start: Callable[..., Any] | None = None,
    examples: tuple[Example, ...] | None = None,
    results: Mapping[str, Result] | None = None,
    max_sessions: int = 8,
    session_seconds: float = 1800.0,
) -> gr.Blocks:
    """Build the page and begin to load the model.

    Args:
        model: a name of the catalog, or a folder in the Hub's layout.
        glimpse: a folder or repository with glimpse modules, or "none"; None takes the catalog's.
        keep_layer, dtype, device, attn, adapter, merge: as for `glimpse_core.load`.
        load, start: stand-ins for `glimpse_core.load` and `Session.ask`, for tests.
        examples: bundled images; None takes those of `assets/examples`.
        results: their stored results by file name; None takes those of `assets/examples` where they fit the model.
        max_sessions: how many visitors may keep their last question's key/value cache at a time, for another answer or
            the next question; together they may take a quarter of the memory that the loaded model leaves free.
        session_seconds: how long it is kept when unused, in seconds.

    Returns:
        The page, with its handlers as `.flow`. Serve it with `.launch(**launch_options())`.
    """

    def load_model() -> Any:
        how = {"dtype": dtype, "device": device, "attn": attn, "adapter": adapter, "merge": merge}
        loaded = _load(holder, glimpse=glimpse, keep_layer=keep_layer, **how)
        visitors.memory = _session_memory(loaded)
        return loaded

    holder = Holder(model, load or load_model)
    if results is None:
        results = load_results(model) if glimpse is None and adapter is None else {}
    gallery = Gallery(load_examples() if examples is None else examples, results)
    visitors = Visitors(max_sessions, session_seconds)
    flow = Flow(holder, visitors, gallery, start or _ask, trained=_has_modules(model, glimpse))
    about = texts.REAL_KNOWS if flow.trained else texts.PLAIN_KNOWS
    page = create_page(flow, texts.DEMO_KNOWS if model == "demo" else about.format(name=model))
    cast(Any, page).flow = flow  # an attribute of our own, on which tests and scripts find the handlers
    holder.start(background=not gpu.zero())  # ZeroGPU wants the weights in place before the first request
    return page


def _has_modules(model: str, glimpse: str | None) -> bool:
    """Whether a model will have glimpse modules once it is loaded; True for one that will not load."""
    from glimpse_core.models import catalog

    try:
        return catalog.resolve(model, glimpse)[1] is not None
    except GlimpseError:  # the page says why when it is loaded
        return True


def serve(page: gr.Blocks, *, host: str | None = None, port: int | None = None, share: bool = False) -> None:
    """Serve a page until it is interrupted.

    Args:
        page: what `create_app` returned.
        host: address to listen on; None is 127.0.0.1.
        port: port to listen on; None takes the first free one from 7860.
        share: make a temporary public link.

    Raises:
        GlimpseError: the address cannot be used.
    """
    try:
        page.launch(server_name=host, server_port=port, share=share, **launch_options())
    except OSError as error:
        raise GlimpseError(f"the page cannot be served: {error}") from error


def _load(holder: Holder, **options: Any) -> Any:
    """Load the holder's model and, where there is a device already, answer one tiny question with it."""
    from glimpse_core.models import catalog
    from glimpse_core.models.entries import entry_of

    entry = entry_of(holder.name)
    holder.title = entry.title if entry else holder.name
    model = catalog.load(holder.name, progress=holder.progress, **options)
    if not gpu.zero():  # there is no GPU yet
        _warm_up(model)
    return model


def _session_memory(model: Any) -> int:
    """Bytes that the visitors' sessions may hold together."""
    from glimpse_core.models.devices import free_memory

    return free_memory(model.device) // 4


def _ask(*args: Any, **kwargs: Any) -> Any:
    """Call `Session.ask`, imported with the first question: until then the page needs no engine."""
    from glimpse_core.inference.session import Session

    return Session.ask(*args, **kwargs)


def _warm_up(model: Any) -> None:
    """One tiny question: no visitor's times are those of a cold start, and a model that cannot answer shows at once."""
    from PIL import Image

    from glimpse_core.inference.session import Session
    from glimpse_core.types import Sampling

    session = Session.ask(model, [Image.new("RGB", (112, 112), "gray")], "What is this?")
    for mask in (session.select().mask, None):
        session.answer(mask, Sampling(max_new_tokens=2)).complete()
