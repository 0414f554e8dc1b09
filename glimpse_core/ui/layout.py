"""Which components stand where. What they do is in `events.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from glimpse_core.glimpse.settings import ANCHORS, BUDGET, CONTROL, LENGTH, MAX_RATIO, MIN_TOKENS, THRESHOLD
from glimpse_core.glimpse.settings.codec import default_of
from glimpse_core.glimpse.settings.field import Field
from glimpse_core.glimpse.settings.interfaces import slider
from glimpse_core.ui import texts
from glimpse_core.ui.component import component
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE, Shown
from glimpse_core.ui.payloads import idle_answers, idle_inside
from glimpse_core.ui.view import status

CANVAS = ("settings", "select", "stage", "colors", "draw", "readout", "edits", "lesson", "canvas", "snapshot")


@dataclass
class Parts:
    """The components that have something to do. Those of a `View` bear its names.

    Not the buttons that ask: asking.js listens to them, and says so through `status`.
    """

    pictures: gr.State  # sources, see gallery.py
    badge: gr.HTML
    strip: gr.HTML
    upload: gr.UploadButton
    question: gr.Textbox
    stop: gr.Button
    chips: gr.HTML
    status: gr.HTML
    canvas: gr.HTML
    controls: dict[str, Any]  # by field name, see `inputs.read_options`
    answers: gr.HTML
    export: gr.HTML
    inside: gr.HTML
    timer: gr.Timer


def build(flow: Flow, knows: str, badge: gr.HTML) -> Parts:
    """Everything about asking, inside an open `gr.Blocks`.

    knows: Markdown on what the loaded model can be asked. badge: as `head` gave it.
    """
    gallery = flow.gallery
    first = [f"{EXAMPLE}0"] if gallery.examples else []
    shown = gallery.show(first) if first else Shown({}, idle_answers(), idle_inside())
    parts: dict[str, Any] = {"pictures": gr.State(first), "badge": badge}
    parts |= _choosing(flow, first) | _asking(gallery.questions(first) if first else [])
    with gr.Row(elem_id="glimpse-line"):
        parts["status"] = component(
            "status", status(running=False, again=shown.result is not None), "settings", "status", "asking"
        )
        component("how", None, min_width=120)
    with gr.Row(elem_id="glimpse-main"):
        with gr.Column(scale=6, min_width=320, elem_id="glimpse-left"):
            parts |= _stage(shown)
        with gr.Column(scale=6, min_width=320, elem_id="glimpse-right"):
            parts["answers"] = component("answers", shown.answers)
            parts["export"] = component("export", None)
    parts["inside"] = component("inside", shown.inside, "colors", "inside")
    with gr.Row(elem_id="glimpse-foot"):
        gr.Markdown("### How it works\n\n" + texts.HOW)
        gr.Markdown("### What this model knows\n\n" + knows + "\n\n" + texts.PRIVACY)
    return Parts(**parts, timer=gr.Timer(0.5))


def badge_value(flow: Flow) -> dict[str, str]:
    """The model's state for the badge."""
    holder = flow.holder
    if holder.state == "loading":
        return {"state": "loading", "title": holder.title, "detail": holder.detail}
    if holder.state == "failed":
        return {"state": "failed", "title": holder.title, "detail": f"not loaded: {holder.error}"}
    model = holder.model
    parts = [str(model.device), str(model.dtype).removeprefix("torch."), str(model.attn)]
    if model.backbone.repetition_penalty != 1:
        parts.append(f"repetition penalty {model.backbone.repetition_penalty:g}")
    return {"state": "ready", "title": holder.title, "detail": " · ".join(parts)}


def head(flow: Flow) -> gr.HTML:
    """The page's name and, returned, the badge with the model's state."""
    with gr.Row(elem_id="glimpse-head", equal_height=True):
        gr.HTML(
            f"<h1>{texts.TITLE}</h1><p>{texts.TAGLINE}</p>",
            elem_id="glimpse-title",
            apply_default_css=False,
            js_on_load=None,
        )
        return component("badge", badge_value(flow), min_width=200)


def _choosing(flow: Flow, first: list[str]) -> dict[str, Any]:
    examples = flow.gallery.examples
    items = [{"src": example.thumbnail, "alt": example.alt} for example in examples]
    with gr.Row(elem_id="glimpse-choose", equal_height=True):
        strip = component(
            "strip", {"items": items, "chosen": 0 if first else None}, min_width=160, visible=bool(examples)
        )
        upload = gr.UploadButton(
            "Add pictures", file_count="multiple", file_types=["image"], elem_id="glimpse-upload", min_width=120
        )
    return {"strip": strip, "upload": upload}


def _asking(suggested: list[str]) -> dict[str, Any]:
    with gr.Row(elem_id="glimpse-ask", equal_height=True):
        question = gr.Textbox(
            value=suggested[0] if suggested else "",
            placeholder=texts.QUESTION_PLACEHOLDER,
            label="Question",
            show_label=False,
            container=False,
            lines=1,
            max_lines=4,
            scale=8,
            min_width=200,
            elem_id="glimpse-question",
            autofocus=False,
        )
        gr.Button("Ask", variant="primary", scale=1, min_width=88, elem_id="glimpse-go")
        stop = gr.Button("Stop", scale=1, min_width=88, interactive=False, elem_id="glimpse-stop")
    return {"question": question, "stop": stop, "chips": component("chips", suggested)}


def _stage(shown: Shown) -> dict[str, Any]:
    ready = shown.result is not None
    rule: dict[str, Any] = {"elem_classes": "glimpse-rule"}  # see edits.js
    parts: dict[str, Any] = {"canvas": component("canvas", shown.canvas or None, *CANVAS)}
    controls = parts["controls"] = {THRESHOLD.name: _slider(THRESHOLD, elem_id="glimpse-threshold", **rule)}
    with gr.Row(elem_id="glimpse-controls"):
        gr.Button("Answer again", interactive=ready, elem_id="glimpse-again")
        for name, label in CONTROL.choices.items():
            gr.Button(label.capitalize(), interactive=ready, elem_id=f"glimpse-{name}")
    component("more", None)
    with gr.Column(elem_id="glimpse-settings"):  # folded by page.css, see `component.tab_content`
        for field in (MAX_RATIO, MIN_TOKENS):
            controls[field.name] = _slider(field, **rule)
        corners = [(label, name) for name, label in ANCHORS.choices.items()]
        controls[ANCHORS.name] = gr.CheckboxGroup(corners, value=[], label=ANCHORS.caption, **rule)
        controls[BUDGET.name] = gr.Number(BUDGET.to_control(None), label=BUDGET.caption, **rule)
        controls[LENGTH.name] = _slider(LENGTH)
    return parts


def _slider(field: Field, **options: Any) -> gr.Slider:
    return gr.Slider(**slider(field, default_of(field)), label=field.caption, **options)
