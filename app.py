"""The page. `python app.py` serves it; `create_app()` gives the `gr.Blocks` to whoever wants to serve it otherwise.

Nothing is loaded at import. The model loads in a background thread as soon as the page is created.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

with suppress(ImportError):
    import spaces  # noqa: F401  Hugging Face's ZeroGPU: before anything touches CUDA
import gradio as gr

from glimpse_core.ui import gpu, texts
from glimpse_core.ui.examples import Example, load_examples
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.page import create_page, launch_options
from glimpse_core.ui.results import Result, load_results
from glimpse_core.ui.visitors import Visitors


def create_app(
    model: str = "demo",
    *,
    glimpse: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attn: str = "auto",
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
        glimpse: a folder or repository with glimpse modules; None takes the catalog's.
        dtype, device, attn: as for `glimpse_core.models.catalog.load`.
        load, start: stand-ins for `catalog.load` and `Session.ask`, for tests.
        examples: bundled pictures; None takes those of `assets/examples`.
        results: their stored results by file name; None takes those of `assets/examples` where they fit the model.
        max_sessions: how many visitors may keep their last question's key/value cache at a time.
        session_seconds: how long it is kept when unused.

    Returns:
        The page, with its handlers as `.flow`. Serve it with `.launch(**launch_options())`.
    """

    def load_model() -> Any:
        from glimpse_core.models import catalog

        entry = catalog.entry_of(model)
        holder.title = entry.title if entry else model
        options = {"dtype": dtype, "device": device, "attn": attn, "progress": holder.tell}
        loaded = catalog.load(model, glimpse=glimpse, **options)
        if not gpu.zero():  # there is no GPU yet
            _warm_up(loaded)
        return loaded

    def ask(*args: Any, **kwargs: Any) -> Any:
        from glimpse_core.inference.session import Session

        return Session.ask(*args, **kwargs)

    holder = Holder(model, load or load_model)
    if results is None:
        results = load_results(model) if glimpse is None else {}
    gallery = Gallery(load_examples() if examples is None else examples, results)
    flow = Flow(holder, Visitors(max_sessions, session_seconds), gallery, start or ask)
    knows = texts.DEMO_KNOWS if model == "demo" else texts.REAL_KNOWS.format(name=model)
    page = create_page(flow, knows)
    page.flow = flow
    holder.start(background=not gpu.zero())  # ZeroGPU wants the weights in place before the first request
    return page


def _warm_up(model: Any) -> None:
    """One tiny question: no visitor's times are those of a cold start, and a model that cannot answer shows at once."""
    from PIL import Image

    from glimpse_core.inference.session import Session
    from glimpse_core.types import Sampling

    session = Session.ask(model, [Image.new("RGB", (112, 112), "gray")], "What is this?")
    for mask in (session.select().mask, None):
        session.answer(mask, Sampling(max_new_tokens=2)).complete()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until interrupted."""
    parser = argparse.ArgumentParser(description="Serve the page that shows what a pruned vision-language model keeps.")
    usual = os.environ.get("GLIMPSE_MODEL") or ("qwen2.5-vl-3b" if gpu.zero() else "demo")
    parser.add_argument(
        "--model",
        default=usual,
        help=f"a name from `python -m glimpse_core models`, or a folder (default {usual}; GLIMPSE_MODEL sets it)",
    )
    parser.add_argument("--glimpse", help="folder or repository with glimpse modules, if not the catalog's")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1); 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--share", action="store_true", help="make a temporary public link")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "float16", "bfloat16"])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--attn", default="auto", choices=["auto", "sdpa", "eager", "flash_attention_2"])
    args = parser.parse_args(argv)
    page = create_app(args.model, glimpse=args.glimpse, dtype=args.dtype, device=args.device, attn=args.attn)
    try:
        page.launch(server_name=args.host, server_port=args.port, share=args.share, **launch_options())
    except OSError as error:
        parser.exit(2, f"error: the page cannot be served: {error}\n")


if __name__ == "__main__":
    main()
