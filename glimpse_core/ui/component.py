"""The page's one component of our own: an empty element of `gr.HTML` that the ES modules in `web/` fill.

Gradio sends the value once, with the page; everything after that goes through the endpoints of `endpoints.py`. A
factory, not a subclass: subclassing `gr.HTML` makes Gradio write a `.pyi` file beside the module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from glimpse_core.ui.bundle import WEB, entry

MODULE = f"gradio_api/file={quote(str(entry()))}"  # address relative to the page
# The only JavaScript on this side. The page's root is Gradio's: behind a proxy it is not the address' own.
START = f"""const root = (window.gradio_config?.root ?? location.href).replace(/[?#].*$/, "").replace(/\\/*$/, "/");
import(root + {MODULE!r}).then(({{ mount }}) => mount(element, props.value, root));"""


def component(value: Mapping[str, Any], pictures: Iterable[Path] = ()) -> gr.HTML:
    """The element `#glimpse-app`.

    Args:
        value: what `web/types.d.ts` calls Boot.
        pictures: files that it names, which Gradio is to serve.
    """
    gr.set_static_paths([WEB, *pictures])
    return gr.HTML(
        value=dict(value),
        html_template='<div class="glimpse-app"></div>',
        js_on_load=START,
        elem_id="glimpse-app",
        apply_default_css=False,
        container=False,
        padding=False,
    )
