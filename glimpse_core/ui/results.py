"""Stored results of the bundled examples: what a live run sent to the page, so that it opens with something to see.

`record` runs the page's own handler and keeps its payloads; nothing is computed here. A stored result belongs to one
model: `load_results` gives none for any other.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimpse_core.ui.examples import FOLDER

if TYPE_CHECKING:
    from glimpse_core.ui.flow import Flow

RESULTS = "results.json"
TRIES = 3
SETTINGS = (0.5, 100, 1, 96)  # threshold, share, floor, length: what the page's controls say when it opens


@dataclass(frozen=True)
class Result:
    """One example's question with the payloads of canvas (without its pictures), answers and inside."""

    question: str
    canvas: dict[str, Any]
    answers: dict[str, Any]
    inside: dict[str, Any]
    record: dict[str, Any]  # what can be saved (record.py)


def record(flow: Flow, source: str, question: str, tries: int = 1) -> Result:
    """Ask on the page's own handlers and keep what they send at the end. Raises RuntimeError if they fail.

    tries: of so many runs, the one with the shortest time to both first tokens is kept, since others use the machine.
    """
    runs = [_record(flow, source, question) for _ in range(tries)]
    return min(runs, key=lambda run: sum(sum(times.values()) for times in run.inside["measured"].values()))


def _record(flow: Flow, source: str, question: str) -> Result:
    canvas: dict[str, Any] = {}
    last = None
    for view in flow.ask("record", [source], question, *SETTINGS):
        if view.canvas and view.canvas.get("pictures"):
            canvas = dict(view.canvas)
        last = view
    if last is None or not last.answers or not last.inside:
        raise RuntimeError(f"no result for {source}, {question!r}: {last and last.status}")
    device = f"{flow.holder.model.device} · {str(flow.holder.model.dtype).removeprefix('torch.')}"
    canvas["pictures"] = [{key: item[key] for key in item if key != "src"} for item in canvas["pictures"]]
    del canvas["serial"]
    stored = f"Stored result, made with this model on {platform.machine()} {device}. Ask to run it here."
    return Result(
        question,
        canvas,
        last.answers | {"stored": stored},
        last.inside | {"stored": True},
        flow.visitors.get("record").record,
    )


def write_results(flow: Flow, model: str, folder: Path = FOLDER) -> None:
    """Answer every example's first question and write the results beside the pictures."""
    entries = {}
    for number, example in enumerate(flow.gallery.examples):
        result = record(flow, f"example:{number}", example.questions[0][0], TRIES)
        entries[example.path.name] = asdict(result)
    lines = ",\n".join(f"{json.dumps(name)}: {_compact(entry)}" for name, entry in entries.items())
    text = f'{{"model": {json.dumps(model)}, "results": {{\n{lines}\n}}}}\n'
    (folder / RESULTS).write_text(text, encoding="utf-8")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load_results(model: str, folder: Path = FOLDER) -> dict[str, Result]:
    """Stored results by the picture's file name; none where they are missing or were made with another model."""
    file = folder / RESULTS
    if not file.is_file():
        return {}
    stored = json.loads(file.read_text(encoding="utf-8"))
    if stored["model"] != model:
        return {}
    return {name: Result(**entry) for name, entry in stored["results"].items()}
