"""TextVQA: `TextVQA_0.5.1_val.json` with ten answers per question, images in `train_images/`."""

from __future__ import annotations

from collections.abc import Iterator

from glimpse_core.evaluation.tasks.base import FileTask, Item, value


class TextVqaTask(FileTask):
    """The validation questions of TextVQA (arXiv 1904.08920), scored by VQA accuracy."""

    name = "textvqa"
    metric = "vqa"

    def read(self) -> Iterator[Item]:
        for path in self.find("TextVQA_*_val.json", "*.json"):
            for entry in value(self.json(path), "data", list, path.name):
                key = value(entry, "question_id", str, path.name)
                where = f"{path.name}, question {key}"
                image = value(entry, "image_id", str, where)
                folders = ("train_images", "val_images", "images", ".")
                yield Item(
                    key,
                    value(entry, "question", str, where),
                    tuple(map(str, value(entry, "answers", list, where))),
                    self.image_file(key, *(f"{folder}/{image}.jpg" for folder in folders)),
                )
