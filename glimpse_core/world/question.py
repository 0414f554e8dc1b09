"""One question about a scene: its answer in spans, and the boxes that answer it.

An answer is made of spans: a piece of text and the boxes that it is read from. The union of the boxes is the evidence
of the question, and the spans supervise where the model attends for each word.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glimpse_core.types import Box
from glimpse_core.world.scene import Scene

Part = tuple[str, Sequence[Box]]  # text of a span and the pixel boxes that it is read from


@dataclass(frozen=True)
class Span:
    """A piece of an answer and the normalized boxes (x1, y1, x2, y2 in 0..1) that it is read from."""

    text: str
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question about a scene, with its answer and evidence."""

    text: str
    spans: tuple[Span, ...]  # of the answer
    type: str  # one of `TYPES`
    boxes: tuple[Box, ...]  # evidence of all spans, normalized to 0..1
    things: int  # number of objects in the evidence

    @property
    def answer(self) -> str:
        """Text of the answer."""
        return "".join(span.text for span in self.spans)

    def to_dict(self) -> dict[str, Any]:
        """Return type, question, answer and boxes as JSON values."""
        return {
            "type": self.type,
            "question": self.text,
            "answer": self.answer,
            "boxes": [[round(edge, 6) for edge in box] for box in self.boxes],
        }


def compose(
    scene: Scene,
    kind: str,
    texts: tuple[str, ...],
    spans: Sequence[Part],
    rng: random.Random,
    evidence: Box | None = None,
) -> Question:
    """Build a question.

    Args:
        scene: the scene that is asked about.
        kind: type of the question.
        texts: wordings, one of which is drawn.
        spans: the answer in parts.
        rng: draws the wording.
        evidence: a pixel box that answers the whole question. None: the boxes of all spans.
    """
    made: list[Span] = []
    boxes: list[Box] = []
    for text, looked_at in spans:
        normal = tuple(scene.normalized(box) for box in looked_at)
        made.append(Span(text, normal))
        boxes.extend(box for box in normal if box not in boxes)
    if evidence is not None:
        boxes = [scene.normalized(evidence)]
    things = sum(1 for thing in scene.things if any(_inside(scene.normalized(thing.body), box) for box in boxes))
    if not things and boxes:  # the evidence is a label, which belongs to one object
        things = 1
    return Question(rng.choice(texts), tuple(made), kind, tuple(boxes), things)


def _inside(inner: Box, outer: Box) -> bool:
    edge = 1e-9
    return (
        outer[0] <= inner[0] + edge
        and outer[1] <= inner[1] + edge
        and outer[2] >= inner[2] - edge
        and outer[3] >= inner[3] - edge
    )
