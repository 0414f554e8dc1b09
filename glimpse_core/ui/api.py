"""The page's named endpoints: typed, documented, for `gradio_client`, plain HTTP and, where `mcp` is installed, agents.

Nothing is remembered between two calls, and no call sees another's pictures. Pictures come as files, through the
components' own checks, so no endpoint opens a path that a caller merely names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import overlay
from glimpse_core.types import Grid
from glimpse_core.ui import figures, texts
from glimpse_core.ui.flow import Flow, failure
from glimpse_core.ui.gpu import borrow, seconds_for
from glimpse_core.ui.inputs import read_question, read_sampling, read_selection
from glimpse_core.ui.record import Record, record

PATIENCE = 120.0  # seconds that a call waits for the model to be loaded
log = logging.getLogger(__name__)

VIEWS = {"heat": "heat", "kept": "kept", "kept only": "kept_only", "picture": "picture"}
CALLS = {"concurrency_id": "api", "concurrency_limit": 8}  # they stand in the flow's own line


def mcp_possible() -> bool:
    """Whether the endpoints can be offered as MCP tools: `pip install "gradio[mcp]"` makes it so."""
    return find_spec("mcp") is not None


class Api:
    """The endpoints as functions over plain values; docstrings and type hints are what callers get to read."""

    def __init__(self, flow: Flow, state: Callable[[], dict[str, str]]) -> None:
        """state: says how the model is, as the page's badge does."""
        self._flow, self._state = flow, state
        self._run = borrow(self._run_here, lambda paths, text, settings, answers: seconds_for(paths, settings[-1]))

    def ask(
        self,
        pictures: list[str],
        question: str,
        threshold: float = 0.5,
        keep_at_most: float = 100,
        keep_at_least: float = 1,
        longest_answer: float = 96,
    ) -> dict:
        """Answer a question about one to four pictures twice: from all visual tokens, and from the kept ones only.

        Args:
            pictures: the picture files, PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF, in the order of the prompt.
            question: what to ask, at most 2,000 characters.
            threshold: tokens with a relevance above this are kept, 0 to 1.
            keep_at_most: percent of all tokens kept at most, 0 to 100; 100 is no limit.
            keep_at_least: number of tokens kept at least, the most relevant ones.
            longest_answer: tokens generated at most, 1 to 256.

        Returns:
            A glimpse record: both answers, and per token relevance, kept or not and why, with costs and timings.
        """
        return self._look(pictures, question, (threshold, keep_at_most, keep_at_least, longest_answer), answers=True)

    def score(
        self,
        pictures: list[str],
        question: str,
        threshold: float = 0.5,
        keep_at_most: float = 100,
        keep_at_least: float = 1,
    ) -> dict:
        """Say how relevant every visual token of the pictures is to the question, without answering it.

        Args:
            pictures: the picture files, one to four.
            question: what to ask, at most 2,000 characters.
            threshold: tokens with a relevance above this are kept, 0 to 1.
            keep_at_most: percent of all tokens kept at most, 0 to 100; 100 is no limit.
            keep_at_least: number of tokens kept at least, the most relevant ones.

        Returns:
            A glimpse record whose answers are null.
        """
        return self._look(pictures, question, (threshold, keep_at_most, keep_at_least, 1), answers=False)

    def overlay(
        self,
        pictures: list[str],
        question: str,
        view: str = "kept",
        threshold: float = 0.5,
        keep_at_most: float = 100,
        keep_at_least: float = 1,
    ) -> list:
        """Draw what matters for the question over each picture, without answering it.

        Args:
            pictures: the picture files, one to four.
            question: what to ask, at most 2,000 characters.
            view: "heat" (relevance), "kept" (dropped tokens dimmed), "kept only", or "picture".
            threshold: tokens with a relevance above this are kept, 0 to 1.
            keep_at_most: percent of all tokens kept at most, 0 to 100; 100 is no limit.
            keep_at_least: number of tokens kept at least, the most relevant ones.

        Returns:
            One PNG per picture, each with a caption.
        """
        if view not in VIEWS:
            raise gr.Error(
                f"The view is {str(view)[:40]!r}; wanted was one of {', '.join(VIEWS)}.", print_exception=False
            )
        made = self._look(pictures, question, (threshold, keep_at_most, keep_at_least, 1), answers=False)
        drawn = []
        for picture, image in zip(made["pictures"], self._flow.gallery.images(pictures), strict=True):
            grid = Grid(picture["rows"], picture["cols"], tuple(picture["frame"]))
            seen = image.resize(tuple(picture["size"]), Image.Resampling.LANCZOS)
            kept = np.array(picture["kept"], dtype=bool)
            caption = f"{int(kept.sum())} of {grid.tokens} tokens kept"
            drawn.append((overlay(seen, picture["probabilities"], kept, grid, VIEWS[view]), caption))
        return drawn

    def model(self) -> dict:
        """Say which model answers, on what it runs, and whether it is ready.

        Returns:
            state ("loading", "ready" or "failed"), title, detail.
        """
        return self._state()

    def _look(self, pictures: Any, question: Any, settings: tuple[Any, ...], answers: bool) -> Record:
        """Checks on this side, the model wherever it is; every failure becomes a sentence for the caller."""
        try:
            if not pictures:
                raise GlimpseError(texts.NO_PICTURE)
            read_selection(*settings[:3])
            read_sampling(settings[3])
            return self._run(list(pictures), read_question(question), settings, answers)
        except GlimpseError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except gr.Error:
            raise
        except Exception as error:
            log.exception("a call of the API failed")
            raise gr.Error(failure(error), print_exception=False) from None

    def _run_here(self, paths: list[str], question: str, settings: tuple[Any, ...], answers: bool) -> Record:
        flow, images = self._flow, self._flow.gallery.images(paths)
        selection, sampling = read_selection(*settings[:3]), read_sampling(settings[3])
        model = flow.holder.wait(timeout=PATIENCE)
        with flow.line.place() as place:
            while place.ahead(1.0):  # the page's visitors and other calls that came first
                pass
            session = flow.start(model, images, question)
            kept = session.select(selection)
            masks = {"full": None, "kept": kept.mask} if answers else {}
            given = {name: session.answer(mask, sampling) for name, mask in masks.items()}
            for answer in given.values():
                for _ in answer:
                    pass
        return record(
            model,
            session,
            question=question,
            alts=[f"Picture {number}." for number in range(1, len(images) + 1)],
            originals=[image.size for image in images],
            kept=kept,
            selection=selection,
            sampling=sampling,
            answers=given,
            costs=figures.costs_of(model, session, int(kept.mask.sum())),
        )


def add(flow: Flow, state: Callable[[], dict[str, str]]) -> None:
    """Offer the endpoints /ask, /score, /overlay and /model of the page that is being built."""
    api = Api(flow, state)
    with gr.Row(visible=False):  # components only for their types and their checks; nobody sees them
        pictures = gr.File(label="Pictures", file_count="multiple", file_types=["image"], type="filepath")
        question = gr.Textbox(label="Question")
        view = gr.Textbox("kept", label="View")
        threshold = gr.Number(0.5, label="Threshold")
        most = gr.Number(100, label="Keep at most (%)")
        least = gr.Number(1, label="Keep at least")
        length = gr.Number(96, label="Longest answer (tokens)")
        result, drawn = gr.JSON(label="Record"), gr.Gallery(label="Overlays", format="png")
        trigger = gr.Button()
    chosen = [threshold, most, least]
    for function, inputs, output in (
        (api.ask, [pictures, question, *chosen, length], result),
        (api.score, [pictures, question, *chosen], result),
        (api.overlay, [pictures, question, view, *chosen], drawn),
    ):
        trigger.click(function, inputs, output, api_name=function.__name__, show_progress="hidden", **CALLS)
    trigger.click(api.model, None, result, api_name="model", show_progress="hidden", queue=False)
