"""Fonts, colors and what else Gradio wants to know at launch."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr

from glimpse_core.ui.api import mcp_possible
from glimpse_core.ui.bundle import WEB

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
STYLES = sorted((WEB / "styles").glob("*.css"))  # zz_narrow.css last: it overrides the others


def launch_options() -> dict[str, Any]:
    """What `demo.launch` needs to look and behave as designed; Gradio 6 takes these at launch, not at construction."""
    theme = gr.themes.Base(primary_hue="indigo", neutral_hue="slate", font=FONT, font_mono=MONO, radius_size="md")
    theme.set(
        button_primary_background_fill="*primary_600",  # white on it reads well, unlike on the default
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        body_text_color_subdued="*neutral_600",  # the ends of a slider's range, say, are too pale otherwise
        body_text_color_subdued_dark="*neutral_300",
    )
    return {
        "theme": theme,
        "css_paths": STYLES,
        "footer_links": ["api", "gradio", "settings"],
        "run_history": False,  # questions and pictures are private
        "max_file_size": "40mb",
        "ssr_mode": os.environ.get("GLIMPSE_SSR", "") == "1",  # not by the platform's word: it needs Node 24
        "enable_monitoring": False,
        "mcp_server": mcp_possible(),
    }
