"""GQA: `*_questions.json` (testdev_balanced before val_balanced), `images/ID.jpg`, and, if there, scene graphs.

With `*_sceneGraphs.json` (published for train and val) the boxes of the objects that a question names and asks for are
its evidence; without, there is none to report.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glimpse_core.evaluation.tasks.base import FileTask, Item, value
from glimpse_core.types import Box


class GqaTask(FileTask):
    """The balanced questions of GQA (arXiv 1902.09506), reported by structural type."""

    name = "gqa"
    metric = "relaxed"

    def read(self) -> Iterator[Item]:
        graphs = {}
        if self.path.is_dir():
            for file in sorted(self.path.glob("*_sceneGraphs.json")):
                graphs.update(self.json(file))
        (path, *_) = self.find("testdev_balanced_questions.json", "val_balanced_questions.json", "*questions.json")
        for key, entry in self.json(path).items():
            where = f"{path.name}, question {key}"
            image = value(entry, "imageId", str, where)
            types = entry.get("types") or {}
            yield Item(
                key,
                value(entry, "question", str, where),
                (value(entry, "answer", str, where),),
                self.image_file(key, f"images/{image}.jpg", f"{image}.jpg"),
                str(types.get("structural") or ""),
                _boxes(entry.get("annotations") or {}, graphs.get(image)),
            )


def _boxes(annotations: dict[str, Any], graph: dict[str, Any] | None) -> tuple[Box, ...] | None:
    """Boxes of every object that the question, the answer or the full answer refers to, once each."""
    if graph is None:
        return None
    named = {name: None for part in annotations.values() for name in part.values()}
    width, height, objects = graph["width"], graph["height"], graph["objects"]
    boxes = []
    for name in named:
        if thing := objects.get(name):
            x, y, w, h = (thing[side] for side in "xywh")
            left, top = max(x / width, 0.0), max(y / height, 0.0)
            boxes.append((left, top, min((x + w) / width, 1.0), min((y + h) / height, 1.0)))
    return tuple(boxes)
