"""Components of our own on top of `gr.HTML`: a constant template, drawn by JavaScript from the value.

The template never changes, so Gradio never re-renders what the script drew; the script is told of a new value by
`watch('value', ...)`. Values are plain JSON, and the scripts put every text in place as text, never as HTML.
A factory, not a subclass: subclassing `gr.HTML` makes Gradio write a `.pyi` file beside the module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from glimpse_core.glimpse.selection import REASONS
from glimpse_core.glimpse.settings.interfaces import javascript

STATIC = Path(__file__).parent / "web"


# What Python puts in front of a file: settings.js works on their table, select.js gives the engine's reasons.
BEFORE: dict[str, Callable[[], str]] = {
    "settings": javascript,
    "select": lambda: f"const REASONS = {json.dumps(REASONS)};\n",
}


@cache
def script(*names: str) -> str:
    """The named files of `web/`, joined in order, as one piece of JavaScript."""
    files = [(STATIC / f"{name}.js").read_text(encoding="utf-8") for name in names]
    return "\n".join(BEFORE.get(name, str)() + text for name, text in zip(names, files, strict=True))


def component(name: str, value: Any, *scripts: str, **options: Any) -> gr.HTML:
    """A panel `#glimpse-NAME` drawn by `static/<script>.js`; by default the script has the panel's name."""
    return gr.HTML(
        value=value,
        html_template=f'<div class="glimpse-{name}"></div>',
        js_on_load=script("common", *(scripts or (name,))),
        elem_id=f"glimpse-{name}",
        apply_default_css=False,
        container=False,
        padding=False,
        **options,
    )


def tab_content(name: str) -> gr.Column:
    """The column `#glimpse-tab-NAME`, which page.css shows while the tab with this id is chosen.

    It stands below the tabs and not in one. What is in a tab, or in a `gr.Accordion`, Gradio mounts when that is first
    opened, and a frame later writes the first values over whatever was typed by then.
    """
    return gr.Column(elem_id=f"glimpse-tab-{name}")
