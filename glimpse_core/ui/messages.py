"""What goes to the browser, by panel: plain JSON values, made by `payloads`, `figures`, `inside` and `view`.

The names are those that the scripts in `web/` read. A part that is left out stays on the page as it was.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Kind = Literal["info", "busy", "error"]
Side = Literal["full", "kept"]


class Picture(TypedDict):
    """A picture on the canvas. Before the first scores its grid is not known: 0 rows and columns."""

    src: NotRequired[str]  # data URL; stored results leave it out
    alt: str
    rows: int
    cols: int
    width: int  # pixels
    height: int
    original: NotRequired[list[int]]  # width and height as given
    frame: NotRequired[list[float]]  # part of the token grid that the picture covers: left, top, right, bottom


class Selected(TypedDict):
    """Settings, and the mask where the browser cannot work it out: base64 of 0 or 1 per token, else empty."""

    settings: dict[str, Any]
    mask: str


class Linked(Selected):
    """What a link asks for. ready: the canvas has the scores of its question."""

    question: str
    ready: bool


class Canvas(TypedDict, total=False):
    """What changes on the canvas. probabilities, logits: base64 of little-endian float32 per token."""

    serial: int  # never the same twice
    pictures: list[Picture]
    probabilities: str
    logits: str
    answered: Selected | None  # which tokens the answer has
    linked: Linked
    clear: bool  # the scores go, the pictures stay


class Figure(TypedDict):
    """A number under an answer. kind: counted, calculated or measured."""

    label: str
    value: str
    kind: str
    note: str


class Answer(TypedDict):
    """One answer. pieces: text, and whether it differs from the other answer. measured: milliseconds by stage."""

    pieces: list[tuple[str, bool]]
    state: str  # running, or how it ended: stop, length or cancelled
    figures: list[Figure]
    measured: dict[str, float]
    limit: NotRequired[int]  # most tokens it may have


class Verdict(TypedDict):
    """Whether both answers say the same; None while it is not known."""

    same: bool | None
    text: str


class Answers(TypedDict):
    """The panel of both answers."""

    question: str
    truth: str | None
    full: Answer | None
    kept: Answer | None
    verdict: Verdict | None
    note: str
    rule: NotRequired[str]  # the settings in words
    stored: NotRequired[str]  # where a stored result is from


class Alive(TypedDict):
    """Tokens in each layer, of either answer, and in the pruned answer's cache."""

    full: list[int]
    kept: list[int]
    cached: list[int]


class Heads(TypedDict):
    """The glimpse token's attention by head: base64 of bytes, 255 for the strongest token, whose share is the peak."""

    layer: int
    read_layers: list[int]
    maps: list[str]
    peaks: list[float]
    heads: int
    vip: str  # base64 of little-endian float32: the predictor's own map


class Inside(TypedDict, total=False):
    """The figures below the answers; calculated in FLOPs, measured in milliseconds, by answer and stage."""

    question: str
    note: str
    layers: int
    keep_layer: int
    alive: Alive
    calculated: dict[str, dict[str, int]]
    measured: dict[str, dict[str, float]]
    heads: Heads | None
    stored: bool  # the figures are a stored result's


class Status(TypedDict):
    """The line under the question, and which buttons can be pressed; None leaves them."""

    text: str
    kind: Kind
    running: bool | None
    again: bool | None
    serial: int  # never the same twice
