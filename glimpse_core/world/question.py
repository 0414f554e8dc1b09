"""One question about a scene: its answer in spans, and the boxes that answer it.

An answer is made of spans: a piece of text and the boxes one has to look at to write it. The answer text is what the
model must say, the union of the boxes is the evidence of the question, and the spans tell a trainer where each word
looks.
"""

import random
from dataclasses import dataclass

from glimpse_core.types import Box
from glimpse_core.world.scene import Scene


@dataclass(frozen=True)
class Span:
    """A piece of an answer and the normalized boxes (x1, y1, x2, y2 in 0..1) that it is read from."""

    text: str
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Question:
    """``boxes`` is the union of the evidence of all spans, normalized to 0..1; ``things`` counts the objects in it."""

    text: str
    spans: tuple[Span, ...]
    type: str
    boxes: tuple[Box, ...]
    things: int

    @property
    def answer(self) -> str:
        return "".join(span.text for span in self.spans)

    def to_dict(self) -> dict:
        return {
            "type": self.type,
            "question": self.text,
            "answer": self.answer,
            "boxes": [[round(edge, 6) for edge in box] for box in self.boxes],
        }


def compose(
    picture: Scene,
    kind: str,
    texts: tuple[str, ...],
    spans: list[tuple],
    rng: random.Random,
    evidence: Box | None = None,
) -> Question:
    """Build a question from (text, pixel boxes) spans; the wording is drawn from ``texts``.

    ``evidence`` is one pixel box that answers the whole question; None takes the boxes of all spans.
    """
    made, boxes = [], []
    for text, looked_at in spans:
        normal = tuple(picture.normalized(box) for box in looked_at)
        made.append(Span(text, normal))
        boxes.extend(box for box in normal if box not in boxes)
    if evidence is not None:
        boxes = [picture.normalized(evidence)]
    things = sum(1 for thing in picture.things if any(_inside(picture.normalized(thing.body), box) for box in boxes))
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
