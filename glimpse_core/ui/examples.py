"""The bundled pictures with their questions, drawn by the demo world and stored in `assets/examples`.

`python -m glimpse_core.ui.examples` (or `make examples`) writes them again from the seeds below, and beside them what
the demo model says about them (`results.py`). The seeds are held out: the demo model was never trained on them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from glimpse_core.ui.pictures import data_url, open_picture

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
SEEDS = (20_000_016, 20_000_008, 20_000_021, 20_000_019, 20_000_018, 20_000_022, 20_000_001, 20_000_005)
THUMBNAIL = 168  # pixels, the longer side; shown at half of that or less
ASKED = ("describe", "read", "nearest", "count", "scene")  # types to suggest, where a picture has them; then any other
CHIPS = 5


@dataclass(frozen=True)
class Example:
    """One picture. `questions` are (question, true answer) pairs; `alt` says in words what is in the picture."""

    path: Path
    alt: str
    questions: tuple[tuple[str, str], ...]

    @cached_property
    def thumbnail(self) -> str:
        """A small data URL."""
        return data_url(open_picture(self.path), limit=THUMBNAIL)

    def truth(self, question: str) -> str | None:
        """The true answer, where the question is one of this picture's own."""
        return dict(self.questions).get(question)


def load_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The examples of a folder; none if it has no index."""
    index = folder / "examples.json"
    if not index.is_file():
        return ()
    entries = json.loads(index.read_text(encoding="utf-8"))
    return tuple(
        Example(
            path=folder / entry["file"],
            alt=entry["alt"],
            questions=tuple((item["question"], item["answer"]) for item in entry["questions"]),
        )
        for entry in entries
    )


def write_examples(folder: Path = FOLDER) -> None:
    """Draw the example scenes and write them with their questions and true answers."""
    from glimpse_core.world import questions, scene

    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, seed in enumerate(SEEDS):
        picture = scene(seed)
        found = questions(picture)
        chosen = _choose(found)
        name = f"scene-{seed}.webp"
        picture.image.save(folder / name, "WEBP", quality=92, method=6)
        entries.append(
            {
                "file": name,
                "alt": "A drawn scene: " + ", ".join(f"{thing.color} {thing.kind}" for thing in picture.things) + ".",
                "questions": [{"question": item.text, "answer": item.answer} for item in _rotate(chosen, number)],
            }
        )
    (folder / "examples.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _choose(found: list) -> list:
    """Some questions of a picture, each of another type, all with something to look at."""
    first_of_type = {item.type: item for item in reversed(found) if item.boxes}
    kinds = [*ASKED, *(kind for kind in first_of_type if kind not in ASKED)]
    return [first_of_type[kind] for kind in kinds if kind in first_of_type][:CHIPS]


def _rotate(items: list, by: int) -> list:
    """So that not every picture opens with the same kind of question."""
    turn = by % max(1, len(items))
    return items[turn:] + items[:turn]


def main() -> None:
    """Draw the pictures, then load the demo model and record its results."""
    from glimpse_core import catalog
    from glimpse_core.session import Session
    from glimpse_core.ui.flow import Flow
    from glimpse_core.ui.gallery import Gallery
    from glimpse_core.ui.holder import Holder
    from glimpse_core.ui.results import write_results
    from glimpse_core.ui.visitors import Visitors

    write_examples()
    holder = Holder("demo", lambda: catalog.load("demo"))
    write_results(Flow(holder, Visitors(1, 3600), Gallery(load_examples()), Session.ask), "demo")


if __name__ == "__main__":
    main()
