"""The layout: which components stand where, and which handler answers to which of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.ui import payloads, takeaway, texts
from glimpse_core.ui.component import STYLE, component
from glimpse_core.ui.flow import EXAMPLE, Flow
from glimpse_core.ui.inputs import MAX_ANSWER
from glimpse_core.ui.view import View, new_epoch, status

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
MODEL = {"concurrency_id": "model", "concurrency_limit": 1}  # one question at a time on one model
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
RESELECT = "(threshold, share, floor) => { if (window.glimpse) window.glimpse.settings(threshold, share, floor); }"
# Enter is ignored while a question is being answered.
SENT = """() => {
    if (document.querySelector('#glimpse-go').disabled) return;
    document.dispatchEvent(new CustomEvent('glimpse-say', { detail: 'Waiting for the model…' }));
}"""
STOPPING = "() => document.dispatchEvent(new CustomEvent('glimpse-say', { detail: 'Stopping…' }))"


def launch_options() -> dict[str, Any]:
    """What `demo.launch` needs to look and behave as designed; Gradio 6 takes these at launch, not at construction."""
    theme = gr.themes.Base(primary_hue="indigo", neutral_hue="slate", font=FONT, font_mono=MONO, radius_size="md")
    theme.set(
        button_primary_background_fill="*primary_600",  # white on it reads well, unlike on the default
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
    )
    return {
        "theme": theme,
        "css_paths": [STYLE],
        "footer_links": ["gradio", "settings"],
        "run_history": False,  # questions and pictures are nobody else's business
        "max_file_size": "40mb",
        "ssr_mode": False,
        "enable_monitoring": False,
    }


def badge(flow: Flow) -> dict[str, str]:
    """The model's state for the badge."""
    holder = flow.holder
    if holder.state == "loading":
        return {"state": "loading", "title": holder.title, "detail": "loading…"}
    if holder.state == "failed":
        return {"state": "failed", "title": holder.title, "detail": f"not loaded: {holder.error}"}
    model = holder.model
    parts = (str(model.device), str(model.dtype).removeprefix("torch."), str(model.attn))
    return {"state": "ready", "title": holder.title, "detail": " · ".join(parts)}


def strip(flow: Flow, chosen: int | None) -> dict[str, Any]:
    """The example strip as it is first shown, with one picture marked. Later updates bring the mark alone."""
    items = [{"src": example.thumbnail, "alt": example.alt} for example in flow.examples]
    return {"items": items, "chosen": chosen}


def create_page(flow: Flow, knows: str) -> gr.Blocks:
    """The whole page. `knows` is Markdown on what the loaded model can be asked."""
    first = [f"{EXAMPLE}0"] if flow.examples else []
    suggested = flow.questions(first) if first else []
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        pictures = gr.State(first)
        with gr.Row(elem_id="glimpse-head", equal_height=True):
            gr.HTML(
                f"<h1>{texts.TITLE}</h1><p>{texts.TAGLINE}</p>",
                elem_id="glimpse-title",
                apply_default_css=False,
                js_on_load=None,
            )
            model_badge = component("badge", badge(flow), min_width=200)
        with gr.Row(elem_id="glimpse-choose", equal_height=True):
            examples = component("strip", strip(flow, 0 if first else None), min_width=160, visible=bool(flow.examples))
            upload = gr.UploadButton(
                "Add pictures", file_count="multiple", file_types=["image"], elem_id="glimpse-upload", min_width=120
            )
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
            ask = gr.Button("Ask", variant="primary", scale=1, min_width=88, elem_id="glimpse-go")
            stop = gr.Button("Stop", scale=1, min_width=88, interactive=False, elem_id="glimpse-stop")
        chips = component("chips", suggested)
        line = component("status", status())
        with gr.Row(elem_id="glimpse-main"):
            with gr.Column(scale=6, min_width=320, elem_id="glimpse-left"):
                stage = component(
                    "canvas", flow.show(first) if first else None, "select", "stage", "canvas", "snapshot"
                )
                threshold = gr.Slider(
                    0, 1, value=0.5, step=0.01, label="Keep tokens more relevant than", elem_id="glimpse-threshold"
                )
                again = gr.Button("Answer again with these tokens", interactive=False, elem_id="glimpse-again")
                with gr.Accordion("More settings", open=False, elem_id="glimpse-more"):
                    share = gr.Slider(0, 100, value=100, step=1, label="Keep at most (% of all tokens; 100 = no limit)")
                    floor = gr.Slider(0, 64, value=1, step=1, label="Keep at least (tokens)")
                    length = gr.Slider(1, MAX_ANSWER, value=96, step=1, label="Longest answer (tokens)")
            with gr.Column(scale=6, min_width=320, elem_id="glimpse-right"):
                answers = component("answers", payloads.idle_answers())
                saving = component("export", None)
        with gr.Row(elem_id="glimpse-foot"):
            gr.Markdown("### How it works\n\n" + texts.HOW)
            gr.Markdown("### What this model knows\n\n" + knows + "\n\n" + texts.PRIVACY)
        timer = gr.Timer(0.5)

        controls = [threshold, share, floor]
        outputs = [stage, answers, line, ask, stop, again]

        def run_ask(
            sources: list[str],
            text: str,
            threshold: float,
            share: float,
            floor: float,
            length: float,
            request: gr.Request,
        ) -> Iterator[list[Any]]:
            yield from _rows(flow.ask(request.session_hash, sources, text, threshold, share, floor, length))

        def run_again(
            threshold: float, share: float, floor: float, length: float, request: gr.Request
        ) -> Iterator[list[Any]]:
            yield from _rows(flow.again(request.session_hash, threshold, share, floor, length))

        def run_stop(request: gr.Request) -> None:
            flow.stop(request.session_hash)

        def present(sources: list[str], chosen: int | None, key: str | None) -> list[Any]:
            """Turn to other pictures: outputs are those of `turn` below."""
            try:
                canvas = flow.show(sources)
            except GlimpseError as error:
                return [*[gr.skip()] * 4, *View(status=status(str(error), "error")).row(new_epoch())]
            flow.forget(key)
            suggestions = flow.questions(sources)
            view = View(
                canvas=canvas,
                answers=payloads.idle_answers(),
                status=status(),
                ask=gr.update(interactive=True),
                stop=gr.update(interactive=False),
                again=gr.update(interactive=False),
            )
            text = suggestions[0] if suggestions else gr.skip()
            return [sources, {"chosen": chosen}, text, suggestions, *view.row(new_epoch())]

        def choose(event: gr.EventData, request: gr.Request) -> list[Any]:
            number = event._data.get("index")
            if not isinstance(number, int) or not 0 <= number < len(flow.examples):
                return [gr.skip()] * 10
            return present([f"{EXAMPLE}{number}"], number, request.session_hash)

        def receive(files: list[str] | None, request: gr.Request) -> list[Any]:
            return present(list(files or []), None, request.session_hash)

        def pick(sources: list[str], event: gr.EventData, request: gr.Request) -> str:
            flow.stop(request.session_hash)  # whatever runs gives way to this question
            suggestions, number = flow.questions(sources), event._data.get("index")
            return suggestions[number] if isinstance(number, int) and 0 <= number < len(suggestions) else gr.skip()

        asked = [pictures, question, *controls, length]
        # First, because the browser begins with one listener only when those before it have been answered.
        gr.on([ask.click, question.submit, again.click], None, None, None, js=SENT, **QUIET)
        gr.on([ask.click, question.submit], run_ask, asked, outputs, api_name="ask", **QUIET, **MODEL)
        picked = chips.pick(pick, [pictures], [question], queue=False, **QUIET)
        picked.then(run_ask, asked, outputs, **QUIET, **MODEL)
        again.click(run_again, [*controls, length], outputs, **QUIET, **MODEL)
        stop.click(run_stop, None, None, queue=False, js=STOPPING, **QUIET)

        turn = [pictures, examples, question, chips, *outputs]
        examples.choose(choose, None, turn, queue=False, **QUIET)
        upload.upload(receive, [upload], turn, queue=False, **QUIET)
        for slider in controls:  # by default Gradio drops a move while it still tells of the one before
            slider.change(None, controls, None, js=RESELECT, trigger_mode="multiple", **QUIET)

        takeaway.wire(demo, flow, saving, present, turn, asked, line)

        def tick() -> list[Any]:
            state = badge(flow)
            return [state, gr.Timer(active=state["state"] == "loading")]

        gr.on([timer.tick, demo.load], tick, None, [model_badge, timer], queue=False, **QUIET)

        def leave(request: gr.Request) -> None:
            flow.visitors.drop(request.session_hash)

        demo.unload(leave)
    demo.queue(max_size=20, api_open=False)
    return demo


def _rows(views: Iterator[View]) -> Iterator[list[Any]]:
    """The updates as Gradio wants them; closing this closes the work, too."""
    epoch = new_epoch()
    with closing(views):
        for view in views:
            yield view.row(epoch)
