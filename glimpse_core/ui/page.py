"""The page: one component of our own, the Benchmark tab of Gradio's, and the endpoints behind both."""

from __future__ import annotations

import gradio as gr

from glimpse_core.ui import api, benchmark, endpoints, gpu, texts
from glimpse_core.ui.boot import badge_value, boot_payload
from glimpse_core.ui.component import component
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.theme import launch_options

__all__ = ["create_page", "launch_options"]


def create_page(flow: Flow, knows: str) -> gr.Blocks:
    """The whole page. knows: paragraphs on what the loaded model can be asked."""
    tabs = ["ask", "methods"] + ["benchmark"] * (not gpu.zero())  # no borrowed GPU lasts as long as a benchmark
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        component(boot_payload(flow, tabs, knows), [example.path for example in flow.gallery.examples])
        if "benchmark" in tabs:
            with gr.Column(elem_id="glimpse-tab-benchmark"):  # shown by page.css while its tab is chosen
                benchmark.add(page, flow)
        endpoints.add(flow)
        api.add(flow, lambda: badge_value(flow))
    page.queue(max_size=100, api_open=False)
    return page
