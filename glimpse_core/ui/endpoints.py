"""The endpoints that the page's own scripts call (`web/lib/server.js`); `api.py` has the public ones.

Every one takes a JSON object and, as files that Gradio has checked, the visitor's own pictures. What the object says is
checked here and in the flow: it can be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import to_json
from glimpse_core.types import ManualEdits
from glimpse_core.ui import gpu, texts
from glimpse_core.ui.boot import badge_value
from glimpse_core.ui.export import export
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE
from glimpse_core.ui.links import Link, read_link
from glimpse_core.ui.messages import Linked, Shown
from glimpse_core.ui.methods import Trying
from glimpse_core.ui.payloads import kept_payload
from glimpse_core.ui.projection import project
from glimpse_core.ui.results import kept_of

LONGEST_KEY = 64
HIDDEN: dict[str, Any] = {"api_visibility": "undocumented", "show_progress": "hidden"}
# The flow has a queue of its own, which can be left.
STREAM: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 40}


class Endpoints:
    """The handlers: plain values in and out."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._run = gpu.runner(flow)
        self._methods = Trying(flow)

    def ask(self, payload: Any, files: list[str] | None) -> Iterator[Any]:
        """Stream both answers to a question about the pictures on the stage."""
        yield from self._answers(self._run.ask, payload, files)

    def again(self, payload: Any, files: list[str] | None) -> Iterator[Any]:
        """Stream the pruned answer from other tokens of the same question."""
        yield from self._answers(self._run.again, payload, files)

    def band(self, payload: Any, files: list[str] | None) -> Iterator[Any]:
        """Stream the answers at about twelve budgets."""
        given = _object(payload)
        with closing(self._run.band(_visitor(given), *self._asked(given, files))) as updates:
            yield from updates

    def words(self, payload: Any, files: list[str] | None) -> Iterator[Any]:
        """Stream which visual tokens the words of the answers need."""
        given = _object(payload)
        with closing(self._run.words(_visitor(given), *self._asked(given, files))) as updates:
            yield from updates

    def stop(self, payload: Any, files: list[str] | None) -> None:
        """End what runs for this visitor, before its next token."""
        given = _object(payload)
        self.flow.stop(_visitor(given), _turn(given))

    def leave(self, payload: Any, files: list[str] | None) -> None:
        """The page was closed, or left for another one."""
        self.flow.forget(_visitor(_object(payload)))

    def show(self, payload: Any, files: list[str] | None) -> Shown:
        """Put other pictures on the stage, with a stored result and what an address asks for, if there are any."""
        given = _object(payload)
        visitor, query = _visitor(given), _object(given.get("query"))
        link, problems = read_link(query, len(self.flow.gallery.examples), self.flow.base)
        sources = self._sources(given, files)
        try:
            shown = self.flow.gallery.show(sources)
            self.flow.turn_away(visitor, _turn(given))  # what runs is about other pictures
            return {**shown, "link": self._linked(sources, link, problems)} if query else shown
        except GlimpseError as error:
            return {"problem": str(error)}

    def save(self, payload: Any, files: list[str] | None) -> dict[str, Any]:
        """The record of what is on the page as a file: name, type and text, or the problem."""
        given = _object(payload)
        visitor, sources = self.flow.visitors.get(_visitor(given)), self._sources(given, files)
        stored = None if visitor.record else self.flow.gallery.result(sources)
        record = stored.record if stored else visitor.record
        shown = sources if stored else visitor.sources
        try:
            return {"file": export(given.get("kind"), record, lambda: self.flow.gallery.images(shown))}
        except GlimpseError as error:
            return {"problem": str(error)}

    def methods(self, payload: Any, files: list[str] | None) -> Iterator[Any]:
        """Stream the answers of several pruning methods at one budget."""
        given = _object(payload)
        asked = (self._sources(given, files), given.get("question"), given.get("names"), given.get("percent"))
        with closing(self._methods.messages(_visitor(given), *asked, given.get("length"), _turn(given))) as messages:
            yield from messages

    def methods_stop(self, payload: Any, files: list[str] | None) -> None:
        """End the comparison of methods that runs for this visitor, or is on its way."""
        given = _object(payload)
        self._methods.stop(_visitor(given), _turn(given))

    def project(self, payload: Any, files: list[str] | None) -> dict[str, Any]:
        """Calculate what a model of the catalog would cost, or say what is wrong with the request."""
        given = _object(payload)
        try:
            return project({name: value for name, value in given.items() if name != "visitor"})
        except GlimpseError as error:
            return {"problem": str(error)}

    def model(self, payload: Any, files: list[str] | None) -> dict[str, Any]:
        """The model's state."""
        return badge_value(self.flow)

    # Inside -------------------------------------------------------------------------------------------------

    def _answers(self, run: Callable[..., Any], payload: Any, files: list[str] | None) -> Iterator[Any]:
        given = _object(payload)
        with closing(run(_visitor(given), *self._asked(given, files))) as views:
            for view in views:
                yield view.message()

    def _asked(self, given: Mapping[str, Any], files: list[str] | None) -> tuple[Any, ...]:
        asked = (given.get(name) for name in ("question", "settings", "length"))
        return self._sources(given, files), *asked, _turn(given)

    def _sources(self, given: Mapping[str, Any], files: list[str] | None) -> list[str]:
        number = given.get("example")
        if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
            return [f"{EXAMPLE}{number}"]
        return [str(path) for path in files or []]

    def _linked(self, sources: list[str], link: Link, problems: list[str]) -> Linked:
        """What the address asks for, with the mask of a control where the scores are stored."""
        result, settings, mask = self.flow.gallery.result(sources), link.settings, None
        if not self.flow.trained and settings.selection.threshold and settings.budget is None:
            settings = replace(settings, selection=replace(settings.selection, threshold=0.0))
            problems = [*problems, texts.LINKED_THRESHOLD]
        try:
            mask = kept_of(result, settings).mask if result else None
        except GlimpseError as error:  # edits of tokens that this picture has not
            settings, problems = replace(settings, edits=ManualEdits()), [*problems, str(error)]
        return {
            "question": link.question,
            "settings": to_json(settings),
            "length": link.length,
            "mask": kept_payload(settings, mask)["mask"],
            "problems": problems,
        }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _visitor(given: Mapping[str, Any]) -> str:
    """The page's own name. Raises gr.Error where there is none: its work could not be told from that of others."""
    name = given.get("visitor")
    if not isinstance(name, str) or not 16 <= len(name) <= LONGEST_KEY:
        raise gr.Error(texts.NO_VISITOR, print_exception=False)
    return name


def _turn(given: Mapping[str, Any]) -> int:
    """The request's place among those of its page."""
    turn = given.get("turn")
    return turn if isinstance(turn, int) and not isinstance(turn, bool) else 0


def add(flow: Flow) -> None:
    """Offer the endpoints, as page_ask, page_show and so on. Generators are streamed."""
    own = Endpoints(flow)
    streams = (own.ask, own.again, own.band, own.words, own.methods)
    calls = (own.show, own.save, own.stop, own.leave, own.methods_stop, own.project, own.model)
    with gr.Row(visible=False):  # components only for their types and their checks; they are never shown
        payload = gr.JSON()
        files = gr.File(file_count="multiple", file_types=["image"], type="filepath")
        result, trigger = gr.JSON(), gr.Button()
    for functions, options in ((streams, STREAM), (calls, {"queue": False})):
        for function in functions:
            name = f"page_{function.__name__}"
            trigger.click(function, [payload, files], result, api_name=name, **options, **HIDDEN)
