"""POPE: JSON lines `coco_pope_{random,popular,adversarial}.json` of yes/no questions, COCO images in `val2014/`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.tasks.base import FileTask, Item, value


class PopeTask(FileTask):
    """The type of a question is its file's way of choosing absent objects: random, popular or adversarial."""

    name = "pope"
    metric = "yes_no"

    def read(self) -> Iterator[Item]:
        for path in self.find("coco_pope_*.json*", "*pope*.json*"):
            kind = path.stem.rsplit("_", 1)[-1]
            for number, line in enumerate(self.text(path).splitlines(), 1):
                if not line.strip():
                    continue
                where = f"{path.name}, line {number}"
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError as error:
                    raise GlimpseError(
                        f"{where}: not JSON ({error}). Expected pope as published: fetch it again."
                    ) from error
                label = value(entry, "label", str, where)
                if label not in ("yes", "no"):
                    raise GlimpseError(f"{where}: label is {label!r}. Expected yes or no.")
                image, key = value(entry, "image", str, where), f"{kind}:{value(entry, 'question_id', str, where)}"
                file = self.image_file(key, *(f"{folder}/{image}" for folder in ("val2014", "images", ".")))
                yield Item(key, value(entry, "text", str, where), (label,), file, kind)
