"""DocVQA: `val_v1.0*.json` with several accepted answers per question, and the pages it names (`documents/...png`)."""

from __future__ import annotations

from collections.abc import Iterator

from glimpse_core.evaluation.tasks.base import FileTask, Item, value


class DocVqaTask(FileTask):
    """The validation questions of DocVQA (arXiv 2007.00398), scored by ANLS and reported by type."""

    name = "docvqa"
    metric = "anls"

    def read(self) -> Iterator[Item]:
        (path, *_) = self.find("val_v1.0*.json", "*val*.json", "*.json")
        for entry in value(self.json(path), "data", list, path.name):
            key = value(entry, "questionId", str, path.name)
            where = f"{path.name}, question {key}"
            image = value(entry, "image", str, where)
            kinds = entry.get("question_types") or []
            yield Item(
                key,
                value(entry, "question", str, where),
                tuple(map(str, value(entry, "answers", list, where))),
                self.image_file(key, image, f"documents/{image.rsplit('/', 1)[-1]}", f"images/{image}"),
                str(kinds[0]) if kinds else "",
            )
