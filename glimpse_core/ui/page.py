"""The page: layout, then events, then what other packages add to it."""

from __future__ import annotations

import gradio as gr

from glimpse_core.glimpse.settings import LENGTH
from glimpse_core.ui import api, benchmark, events, export_panel, gpu, layout, methods, texts
from glimpse_core.ui.component import tab_content
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.theme import launch_options

__all__ = ["create_page", "launch_options"]


def create_page(flow: Flow, knows: str) -> gr.Blocks:
    """The whole page. `knows` is Markdown on what the loaded model can be asked."""
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        badge = layout.head(flow)
        names = ["Ask", "Methods"] + ["Benchmark"] * (not gpu.zero())  # no borrowed GPU lasts as long as a benchmark
        with gr.Tabs(elem_id="glimpse-tabs"):
            for name in names:
                gr.Tab(name, id=name.lower())
        with tab_content("ask"):
            parts = layout.build(flow, knows, badge)
        with tab_content("methods"):
            methods.add(page, flow, parts.pictures, parts.question, parts.controls[LENGTH.name])
        if "Benchmark" in names:
            with tab_content("benchmark"):
                benchmark.add(page, flow)
        events.wire(page, parts, flow)
        export_panel.wire(page, flow, parts)
        api.add(flow, lambda: layout.badge_value(flow))
    page.queue(max_size=20, api_open=False)
    return page
