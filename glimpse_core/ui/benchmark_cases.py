"""The questions that a method lost or gained on the Benchmark tab, each of which opens on the Ask tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.benchmark import Changes
from glimpse_core.evaluation.cells import ADAPTIVE
from glimpse_core.evaluation.report.worst import Case
from glimpse_core.glimpse.settings.table import MAX_RATIO

LOST, GAINED = "Lost", "Gained"
OPEN = "Open in Ask"
OPEN_SCRIPT = "(image, query) => window.glimpse.open(image.url, query)"  # main.js


@dataclass
class CaseParts:
    cell: gr.Dropdown
    kind: gr.Radio
    heading: gr.Markdown
    gallery: gr.Gallery
    go: gr.Button
    image: gr.Image  # of the chosen question, as the model sees it; not shown
    query: gr.JSON  # what the Ask tab shall show of it, as an address says it; not shown

    @property
    def shown(self) -> list[Any]:
        """In the order of `chosen`."""
        return [self.heading, self.gallery, self.go]


def build() -> CaseParts:
    with gr.Row():
        cell = gr.Dropdown([], label="Method", elem_id="benchmark-cell")
        kind = gr.Radio([LOST, GAINED], value=LOST, label="Questions", elem_id="benchmark-kind")
    heading = gr.Markdown(elem_id="benchmark-losses")
    gallery = gr.Gallery(show_label=False, columns=2, height="auto", elem_id="benchmark-cases")
    go = gr.Button(OPEN, interactive=False, elem_id="benchmark-open")
    image = gr.Image(visible="hidden", type="pil", format="png")
    return CaseParts(cell, kind, heading, gallery, go, image, gr.JSON(visible="hidden"))


def shown_cases(changes: Changes, cell: str, kind: Any) -> list[Case]:
    """The questions in the gallery, in its order."""
    return [case for case in changes.cases(cell, kind == GAINED) if case.image]


def chosen(changes: Changes | None, cell: Any, kind: Any) -> list[Any]:
    """Heading, images and the button for the questions that a cell lost, or gained; none of them is chosen yet.

    Without images benchmark.css hides gallery and button: Gradio loses a change of `visible` that comes while a
    component is being mounted, and keeps one of its value.
    """
    if changes is None or cell not in changes.titles:
        return ["", gr.Gallery([], selected_index=None), gr.Button(interactive=False)]
    images = [(case.image, caption(case)) for case in shown_cases(changes, cell, kind)]
    return [
        f"#### {changes.heading(cell, kind == GAINED)}",
        gr.Gallery(images, selected_index=None),
        gr.Button(interactive=False),
    ]


def picked(changes: Changes | None, cell: Any, kind: Any, index: int) -> tuple[Image.Image, dict[str, str]] | None:
    """The image of a question in the gallery, and what the Ask tab shows of it; None where it is not there any more.

    The query is what `links.py` reads. The budget of a cell goes along where the cell is the glimpse's own.
    """
    if changes is None or changes.task is None or cell not in changes.titles:
        return None
    cases = shown_cases(changes, cell, kind)
    if not 0 <= index < len(cases):
        return None
    entry = cases[index].entry
    try:
        image = changes.task.item(entry["index"]).image()
    except GlimpseError:  # its file is gone
        return None
    return image, {"q": entry["question"], **_budget(cell)}


def _budget(cell: str) -> dict[str, str]:
    method, _, budget = cell.partition("@")
    return {MAX_RATIO.key: budget.removesuffix("%")} if method == ADAPTIVE and budget.endswith("%") else {}


def caption(case: Case) -> str:
    return f"{case.entry['question']} All tokens: {case.full['answer']} Kept {case.kept}: {case.own['answer']}"
