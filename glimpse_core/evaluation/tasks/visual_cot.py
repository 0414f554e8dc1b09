"""Visual-CoT: one JSONL file of questions with evidence boxes. The format is that of the training data."""

from __future__ import annotations

from collections.abc import Iterator

from glimpse_core.datasets.visual_cot import read_jsonl
from glimpse_core.evaluation.tasks.base import FileTask, Item


class VisualCotTask(FileTask):
    """A .jsonl file, or a folder with exactly one. Free-form answers: a judge says more about them than exact match."""

    name = "visual-cot"
    suffix = ""

    def read(self) -> Iterator[Item]:
        for path in self.find("*.jsonl"):
            self.text(path)  # counts for `origin`
            for record in read_jsonl(path):
                example = record.example
                kind = example.type or record.image.parent.name
                key = f"{path.stem}:{record.line}"
                yield Item(key, example.question, (example.answer,), record.image, kind, example.boxes)
