"""What goes to the browser: plain JSON values, made by `payloads`, `figures`, `inside` and `view`.

The names are those of `web/types.d.ts`. A part that is left out stays on the page as it was.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Kind = Literal["info", "busy", "error"]
Side = Literal["full", "kept"]


class Picture(TypedDict):
    """A picture on the stage. Before the first scores its grid is not known: 0 rows and columns."""

    src: NotRequired[str]  # address; scores of pictures that are on the page leave it out
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


class Canvas(TypedDict, total=False):
    """What changes on the stage. probabilities, logits: base64 of little-endian float32 per token."""

    pictures: list[Picture]
    probabilities: str  # of a predictor; or attention, relative to the most attended token
    logits: str  # of a predictor
    attention_layer: int  # where the scores are attention, its decoder layer
    evidence: str  # base64 of 0 or 1 per token, empty where it is not known
    answered: Selected | None  # which tokens the answer has
    clear: bool  # the scores go, the pictures stay


class Answer(TypedDict):
    """One answer. pieces: text, and whether it differs from the other answer. measured: milliseconds by stage."""

    pieces: list[tuple[str, bool]]
    state: str  # running, or how it ended: stop, length or cancelled
    measured: dict[str, float]
    first: float | None  # milliseconds to the first token
    speed: float | None  # tokens per second after the first one
    tokens: int  # visual tokens that it is made from
    length: int  # prompt tokens in its cache
    limit: NotRequired[int]  # most tokens it may have
    right: NotRequired[bool | None]  # whether it is the true answer; None where that is not known
    old: NotRequired[bool]  # from an earlier run than the other answer


class Verdict(TypedDict):
    """Whether both answers say the same; None while it is not known."""

    same: bool | None
    text: str


class Answers(TypedDict):
    """Both answers."""

    question: str
    truth: str | None
    full: Answer | None
    kept: Answer | None
    verdict: Verdict | None
    rule: NotRequired[str]  # the settings in words
    stored: NotRequired[str]  # where a stored result is from
    reused: NotRequired[int]  # prompt tokens that the question before had run


class BandAnswer(TypedDict):
    """The answer at one budget."""

    budget: int
    kept: int
    text: str
    finished: str | None
    right: bool | None


class Band(TypedDict):
    """The answers at many budgets, ascending."""

    answers: list[BandAnswer]
    problem: NotRequired[str]


class Word(TypedDict):
    """A word of an answer. depends: whether it changes without any visual token. needs: the tokens that it needs."""

    text: str
    depends: bool
    needs: list[int]


class Words(TypedDict):
    """What the words of an answer need. kept: base64 of 0 or 1 per token, those that the answer is made from."""

    text: str
    kept: str
    words: list[Word]


class Attributed(TypedDict, total=False):
    """How far the attribution of an answer is. tries: prompts scored so far. words: once it is complete."""

    side: Side
    tries: int
    words: Words
    problem: str


class Alive(TypedDict):
    """Tokens in each layer, of either answer, and in the pruned answer's cache."""

    full: list[int]
    kept: list[int]
    cached: list[int]


class KvBytes(TypedDict):
    """The key/value cache of the prompt in bytes."""

    full: int
    kept: int
    per_token: int  # of one token in all layers


class Heads(TypedDict):
    """The glimpse token's attention by head: base64 of bytes, 255 for the strongest token, whose share is the peak."""

    layer: int
    read_layers: list[int]
    maps: list[str]
    peaks: list[float]
    heads: int
    vip: str  # base64 of little-endian float32: the predictor's own map


class NextToken(TypedDict):
    """A token that could have been next. text: what it would add; empty for the end of the answer (`stop`)."""

    token_id: int
    probability: float
    text: str
    stop: bool


class Divergence(TypedDict):
    """The first token that both answers do not share: its number from 0, the text before it, and what was likely."""

    position: int
    shared: str
    full: list[NextToken]
    kept: list[NextToken]


class Inside(TypedDict, total=False):
    """The figures below the answers; calculated in FLOPs, measured in milliseconds, by answer and stage."""

    question: str
    layers: int
    keep_layer: int
    alive: Alive
    calculated: dict[str, dict[str, int]]
    measured: dict[str, dict[str, float]]
    kv_bytes: KvBytes
    heads: Heads | None
    attention: bool  # True where the scores are attention: the model has no glimpse modules
    divergence: Divergence | None  # once both answers are complete; None where they are the same
    stored: bool  # the figures are a stored result's


class Status(TypedDict):
    """The line under the question."""

    text: str
    kind: Kind


class Message(TypedDict, total=False):
    """One update of the page."""

    canvas: Canvas
    answers: Answers
    inside: Inside
    status: Status
    familiar: bool | None  # whether the model knows pictures of this kind; None where that is not known


class Linked(TypedDict):
    """What the page's address asks for."""

    question: str | None
    settings: dict[str, Any]
    length: int | None
    mask: str  # as of `Selected`
    problems: list[str]


class Shown(Message, total=False):
    """Chosen pictures with all that is known of them before anything runs. problem: why they cannot be shown."""

    questions: list[str]
    band: Band | None
    link: Linked
    problem: str
    example: int | None
