"""The page's named endpoints: typed, documented, for `gradio_client`, plain HTTP and, where `mcp` is installed, agents.

Nothing is remembered between two calls, and no call sees another's pictures. Pictures come as files, through the
components' own checks, so no endpoint opens a path that a caller merely names. Parameters of the settings come from
their table (`endpoint.py`).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import FIELDS, LENGTH
from glimpse_core.inference.band import read_budgets
from glimpse_core.media.overlay import View, overlay
from glimpse_core.types import Grid
from glimpse_core.ui import figures, texts
from glimpse_core.ui.endpoint import components, endpoint, read_call
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gpu import LIMIT, borrow, seconds_for
from glimpse_core.ui.inputs import AskOptions, read_question
from glimpse_core.ui.messages import Side
from glimpse_core.ui.record import Record, record
from glimpse_core.ui.streaming import failure

PATIENCE = 120.0  # seconds that a call waits for the model to be loaded
log = logging.getLogger(__name__)

VIEWS: dict[str, View] = {"heat": "heat", "kept": "kept", "kept only": "kept_only", "picture": "picture"}
CALLS: dict[str, Any] = {"concurrency_id": "api", "concurrency_limit": 8}  # they wait in the flow's own queue
ANSWERED = (*FIELDS, LENGTH)
SIDES: tuple[Side, ...] = ("full", "kept")


def mcp_possible() -> bool:
    """Whether the endpoints can be offered as MCP tools: `pip install "gradio[mcp]"` makes it so."""
    return find_spec("mcp") is not None


class Api:
    """The endpoints as functions over plain values; docstrings and signatures are what callers get to read.

    given: the settings of a call, by the names of their parameters.
    """

    def __init__(self, flow: Flow, state: Callable[[], dict[str, Any]]) -> None:
        """state: says how the model is, as the page's badge does."""
        self._flow, self._state = flow, state

        def seconds(paths: list[str], question: str, options: AskOptions, *_: Any) -> int:
            return seconds_for(paths, options.sampling.max_new_tokens)

        def longer(paths: list[str], question: str, options: AskOptions, sides: Sequence[Side], words: bool) -> int:
            return LIMIT if words else seconds(paths, question, options)

        self._run, self._run_band = borrow(self._run_here, longer), borrow(self._band_here, seconds)

    def ask(self, pictures: list[str], question: str, given: Mapping[str, Any]) -> dict:
        """Answer a question about one to four pictures twice: from all visual tokens, and from the kept ones only.

        Args:
            pictures: the picture files, PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF, in the order of the prompt.
            question: what to ask, at most 2,000 characters.

        Returns:
            A glimpse record: both answers, and per token relevance, kept or not and why, with costs and timings.
        """
        return self._look(pictures, question, given, SIDES)

    def words(self, pictures: list[str], question: str, given: Mapping[str, Any]) -> dict:
        """Answer a question as /ask does, and say which visual tokens each word of both answers needs.

        Found by leaving tokens out: the answer is scored again from many prompts that lack some of them, which takes
        much longer than answering.

        Args:
            pictures: the picture files, one to four.
            question: what to ask, at most 2,000 characters.

        Returns:
            A glimpse record whose answers have `words`: of each its text, whether it depends on the pictures, and the
            tokens that it needs, numbered in the order of the pictures and rows.
        """
        return self._look(pictures, question, given, SIDES, words=True)

    def band(self, pictures: list[str], question: str, budgets: str, given: Mapping[str, Any]) -> dict:
        """Answer a question from many numbers of visual tokens each, to see where the answer breaks.

        The pictures and the first layers are run once for all of them. Greedy; threshold, maximum share, minimum and
        budget have no say.

        Args:
            pictures: the picture files, one to four.
            question: what to ask, at most 2,000 characters.
            budgets: numbers of tokens such as "1,8,64", kept by rank, or "auto" for about twelve from one to all.

        Returns:
            question, model, tokens (of all pictures), and answers: per budget, ascending, the number of tokens kept,
            text, generated ids, and how it finished.
        """
        return self._safely(
            pictures, question, given, lambda *asked: self._run_band(*asked, read_budgets(budgets, "budgets"))
        )

    def score(self, pictures: list[str], question: str, given: Mapping[str, Any]) -> dict:
        """Say how relevant every visual token of the pictures is to the question, without answering it.

        Args:
            pictures: the picture files, one to four.
            question: what to ask, at most 2,000 characters.

        Without glimpse modules relevance is attention: the record's `scores` say which.

        Returns:
            A glimpse record whose answers are null.
        """
        return self._look(pictures, question, given)

    def overlay(self, pictures: list[str], question: str, view: str, given: Mapping[str, Any]) -> list:
        """Draw what matters for the question over each picture, without answering it.

        Args:
            pictures: the picture files, one to four.
            question: what to ask, at most 2,000 characters.
            view: "heat" (relevance), "kept" (dropped tokens dimmed), "kept only", or "picture".

        Returns:
            One PNG per picture, each with a caption.
        """
        if view not in VIEWS:
            raise gr.Error(f'View is "{str(view)[:40]}". Expected one of {", ".join(VIEWS)}.', print_exception=False)
        made = self._look(pictures, question, given)
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
            state ("loading", "ready" or "failed"), title, detail, and trained: whether glimpse modules score the
            visual tokens, else attention does.
        """
        return self._state()

    def _look(
        self,
        pictures: Any,
        question: Any,
        given: Mapping[str, Any],
        sides: Sequence[Side] = (),
        words: bool = False,
    ) -> Record:
        return self._safely(pictures, question, given, lambda *asked: self._run(*asked, sides, words))

    def _safely(
        self, pictures: Any, question: Any, given: Mapping[str, Any], run: Callable[..., dict[str, Any]]
    ) -> dict[str, Any]:
        """Checks on this side, the model wherever it is; every failure becomes a sentence for the caller."""
        try:
            if not pictures:
                raise GlimpseError(texts.NO_PICTURE)
            options = read_call(given, len(pictures), self._flow.base)
            return run(list(pictures), read_question(question), options)
        except GlimpseError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except gr.Error:
            raise
        except Exception as error:
            log.exception("a call of the API failed")
            raise gr.Error(failure(error), print_exception=False) from None

    @contextmanager
    def _turn(self) -> Iterator[Any]:
        """The model, once the page's visitors and other calls that came first have been served."""
        model = self._flow.holder.wait(timeout=PATIENCE)
        with self._flow.queue.ticket() as ticket:
            while ticket.ahead(1.0):
                pass
            yield model

    def _band_here(
        self, paths: list[str], question: str, options: AskOptions, budgets: tuple[int, ...] | None
    ) -> dict[str, Any]:
        images = self._flow.gallery.images(paths)
        with self._turn() as model:
            session = self._flow.start(model, images, question)
            band = session.band(budgets, options.settings, max_new_tokens=options.sampling.max_new_tokens).complete()
        made = [answer.to_dict() for answer in band.answers]
        return {"question": question, "model": model.name, "tokens": len(session.probabilities), "answers": made}

    def _run_here(
        self, paths: list[str], question: str, options: AskOptions, sides: Sequence[Side], words: bool
    ) -> Record:
        flow, images = self._flow, self._flow.gallery.images(paths)
        with self._turn() as model:
            session = flow.start(model, images, question)
            kept = session.choose(options.settings)
            masks: dict[Side, Any] = {"full": None, "kept": kept.mask}
            made = {name: session.answer(masks[name], options.sampling) for name in sides}
            for answer in made.values():
                for _ in answer:
                    pass
            worded = [name for name, answer in made.items() if words and answer.text.strip()]
            needs = {name: session.attribute(made[name], masks[name]).to_dict() for name in worded}
        return record(
            model,
            session,
            question=question,
            alts=[f"Picture {number}." for number in range(1, len(images) + 1)],
            originals=[image.size for image in images],
            kept=kept,
            settings=options.settings,
            sampling=options.sampling,
            answers=made,
            words=needs,
            costs=figures.costs_of(model, session, int(kept.mask.sum())),
        )


def add(flow: Flow, state: Callable[[], dict[str, Any]]) -> None:
    """Offer the endpoints /ask, /words, /band, /score, /overlay and /model of the page that is being built."""
    api = Api(flow, state)
    with gr.Row(visible=False):  # components only for their types and their checks; they are never shown
        own = {
            "pictures": gr.File(label="Pictures", file_count="multiple", file_types=["image"], type="filepath"),
            "question": gr.Textbox(label="Question"),
            "view": gr.Textbox("kept", label="View"),
            "budgets": gr.Textbox("auto", label="Budgets"),
        }
        inputs = own | components(ANSWERED, flow.base)
        result, drawn = gr.JSON(label="Record"), gr.Gallery(label="Overlays", format="png")
        trigger = gr.Button()
    for function, fields, output in (
        (api.ask, ANSWERED, result),
        (api.words, ANSWERED, result),
        (api.band, ANSWERED, result),
        (api.score, FIELDS, result),
        (api.overlay, FIELDS, drawn),
    ):
        offered = endpoint(function, fields, flow.base)
        taken = [inputs[name] for name in inspect.signature(offered).parameters]
        trigger.click(offered, taken, output, api_name=function.__name__, show_progress="hidden", **CALLS)
    trigger.click(api.model, None, result, api_name="model", show_progress="hidden", queue=False)
