"""The values that travel between the rooms: frozen dataclasses without behavior, and without torch at run time.

Letters used for shapes everywhere in this package:
B batch rows, L prompt tokens (image placeholders expanded), N visual tokens (after the 2x2 merge, all images in order),
N_b those of row b, C hidden size of the language model, V hidden size of the vision tower, H attention heads,
A position axes (3 for Qwen's time/height/width), G glimpse tokens, n_sel vision layers read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache


Box = tuple[float, float, float, float]  # x1, y1, x2, y2

IGNORED_LABEL = -100  # label of a token that counts for no loss, as in torch and transformers


@dataclass(frozen=True)
class Grid:
    """The visual tokens of one image: `rows` x `cols` of them in raster order (28 px each for Qwen2.5-VL).

    frame: left, top, right and bottom of the picture as shares of the grid. A model that pads pictures to a square
    (LLaVA-1.5) sees tokens outside it; elsewhere the picture fills the grid.
    """

    rows: int
    cols: int
    frame: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    @property
    def tokens(self) -> int:
        return self.rows * self.cols


@dataclass(frozen=True)
class Layout:
    """Where the N tokens are, and which of them may see each other.

    cells: (N, 2) int64 row and column on the token grid of the own image, from 0. lengths: sizes of the groups that
    attend within themselves, in group order. order: (N,) raster index of every token in group order; None: already
    raster. images: tokens of every image; None: every group is an image.
    """

    cells: Tensor
    lengths: tuple[int, ...]
    order: Tensor | None = None
    images: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Prompt:
    """Model inputs, exactly as the processor of the base model makes them. Sessions use B = 1."""

    input_ids: Tensor  # (B, L) int64, one image placeholder id per visual token
    attention_mask: Tensor  # (B, L) int64, 1 where real; padding, if any, on the left
    pixel_values: Tensor | None  # (patches, patch values) float32; None for a prompt without a picture
    image_grid_thw: Tensor | None  # (images, 3) int64, in patches: time, height, width
    mm_token_type_ids: Tensor  # (B, L) int32, 1 at image placeholders, 2 at video placeholders
    grids: tuple[Grid, ...]  # one per image, or per temporal slice of a video, in merged tokens, in prompt order
    seconds: tuple[float, ...] = ()  # one per video: from one temporal slice to the next; empty: the prompt has images


@dataclass(frozen=True)
class VisionReads:
    """What to read inside the vision tower on the way. Numbers are those of its blocks, from 0.

    states: blocks whose output is wanted. attention: blocks whose attention and keys are wanted.
    """

    states: tuple[int, ...] = ()
    attention: tuple[int, ...] = ()


@dataclass(frozen=True)
class VisionReadings:
    """What was read inside the vision tower, by block number; one entry per visual token, in raster order.

    states: (N, V) the block's output, averaged over the patches of a token. attention: (N,) float32, what the token
    receives: from the class token where the tower has one, else from all patches of its image together (sums of 1 on
    average), averaged over heads. keys: (N, head size), averaged over heads. summaries: (images, V) the class token's
    state, for towers that have one.
    """

    states: Mapping[int, Tensor] = field(default_factory=dict)
    attention: Mapping[int, Tensor] = field(default_factory=dict)
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    summaries: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Vision:
    """What the vision tower gives for all images of a prompt, concatenated in raster order."""

    embeds: Tensor  # (N, C) what takes the places of the image placeholders
    conditions: Tensor  # (n_sel, N, V) raw hidden states for the VIP, in the order of `GlimpseConfig.vision_layers`
    readings: VisionReadings = field(default_factory=VisionReadings)  # only what was asked for


@dataclass(frozen=True)
class Prefix:
    """The prompt, stopped between two decoder layers. Immutable: the verbs in `prefix.py` return new ones."""

    hidden: Tensor  # (B, L, C) input of layer `depth`
    positions: Tensor  # (A, B, L) int64 for multi-axis RoPE, else (B, L)
    padding: Tensor | None  # (B, L) bool, True where real; None when nothing is padded
    cache: DynamicCache | None  # layers [0, depth) are filled; None when training
    depth: int = 0
    ahead: tuple[int, ...] = ()  # per layer run: what to add to `positions` there; only after renumbering (`keep`)
    ran: tuple[int, ...] = ()  # how many tokens each layer run so far has read, padding and glimpse tokens included


@dataclass(frozen=True)
class Scores:
    """What the Visual Importance Predictor read and what it said, for every batch row."""

    attention: Tensor  # (N, read layers * H) the glimpse token's attention to the visual tokens: the VIP's input
    logits: tuple[Tensor, ...]  # per row: (outputs, N_b); the last output decides


@dataclass(frozen=True)
class Schedule:
    """How many visual tokens of one prompt row are left, decoder layer by decoder layer.

    total: before anything was dropped. alive: those that the layer runs on in the prefill. cached: those that its cache
    holds while answering. seen: those that the vision tower made for this run (fewer than total if it was shown a
    smaller picture).
    """

    total: int
    alive: tuple[int, ...]
    cached: tuple[int, ...]
    seen: int

    @property
    def final(self) -> int:
        """What is left behind the last drop."""
        return self.cached[-1]  # the last drop may lie behind the last layer


@dataclass(frozen=True)
class Pruned:
    """A pruner's result: the shared trunk, the branch that lost tokens, and why.

    trunk is None where the picture as a whole was never looked at (a smaller picture or none, without `vision`). Counts
    are in `schedules`; `kept` may have one place fewer where a method adds a token that is no part of the grid.
    """

    trunk: (
        Prefix | None
    )  # all prompt tokens, stopped where the first are dropped; the unpruned answer goes on from here
    branch: Prefix  # the kept tokens only, stopped where the last were dropped: there, or deeper
    kept: tuple[Tensor, ...]  # per row: (N_b,) bool, the places that are left (merged tokens: the place they took)
    scores: Scores | None  # None for pruners that do not score
    schedules: tuple[Schedule, ...] = ()  # per row


@dataclass(frozen=True)
class Selection:
    """From scores to kept tokens, in this order: threshold, cap, floor, anchors. Per call, never part of a model.

    threshold: kept if probability > threshold, strictly. max_ratio: at most int(max_ratio * N) tokens pass the
    threshold (None: no cap). min_tokens: at least so many are kept, the most probable ones. anchors: corner tokens
    kept in any case, any of "tl", "tr", "bl", "br" (one image only).
    """

    threshold: float = 0.5
    max_ratio: float | None = None
    min_tokens: int = 1
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ManualEdits:
    """What a person changed in a selection, and the control mask to answer with in its place.

    painted, erased: raster indices of visual tokens, all images in prompt order, ascending; no token is in both.
    control: "" (none), "random" (as many random tokens as would be kept, drawn with `seed`) or "inverse" (exactly the
    other tokens).
    """

    painted: tuple[int, ...] = ()
    erased: tuple[int, ...] = ()
    control: str = ""
    seed: int = 0

    @property
    def strokes(self) -> dict[int, bool]:
        """Token index -> keep (True) or drop (False), as `selection.paint` takes them."""
        return dict.fromkeys(self.painted, True) | dict.fromkeys(self.erased, False)


@dataclass(frozen=True)
class Settings:
    """Everything that decides which visual tokens of one question are kept. `glimpse.settings` reads and writes it.

    selection: the published rule. budget: keep exactly so many tokens, the highest-ranked ones; threshold, cap and
    floor then have no effect (None: not used). Anchors are kept and edits applied in either case, in this order.
    """

    selection: Selection = Selection()
    budget: int | None = None
    edits: ManualEdits = ManualEdits()


@dataclass(frozen=True)
class Kept:
    """A mask over the visual tokens and the reason of each entry (`select.REASONS` names the codes)."""

    mask: Tensor  # (N,) bool
    reason: Tensor  # (N,) uint8


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. temperature 0 is greedy; otherwise nucleus sampling with `top_p`, seeded by `seed`.

    repetition_penalty: of tokens that are in the prompt or the answer already; 1 is none, and None is the model's own
    (its generation_config; 1.05 for the published Qwen2.5-VL), which `generate` applies as well.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_new_tokens: int = 64
    repetition_penalty: float | None = None


@dataclass(frozen=True)
class Step:
    """One generated token. `text` is the whole answer so far, never ending in half a character."""

    text: str
    token_id: int
    seconds: float  # since the previous token; the first one includes the rest of the prefill
    index: int


@dataclass(frozen=True)
class GlimpseConfig:
    """The trained part's architecture. `checkpoint.py` translates the published field names and refuses unknown values.

    Layer numbers are 0-based. `keep_layer` is the paper's K: tokens are dropped behind its output. `read_layers` are
    the layers whose glimpse attention feeds the VIP. `glimpse_layers[j]` gets glimpse vector j. `vision_layers` are
    vision blocks.
    """

    keep_layer: int
    read_layers: tuple[int, ...]
    glimpse_layers: tuple[int, ...]
    vision_layers: tuple[int, ...]
    glimpse_length: int = 1
    glimpse_norm: str = "rmsnorm"  # or "layernorm"
    glimpse_dropout: float = 0.0  # training only
    read_logits: bool = True  # raw attention logits; False: log-probabilities over all keys
    vip_type: str = "v1"  # "v1" reads the vision layers, "v2" only the attention
    vip_size: int = 256
    vip_condition_size: int = 512
    vip_heads: int = 4
    vip_activation: str = "silu"
    vip_global: bool = True  # False: attention inside the vision tower's windows only
    deep_supervision: bool = False  # training: every VIP layer has an output
    attention_supervision: bool = False  # puts the mean attention in front of the outputs, outside training
    masks: str = "vip"  # "vip"; "reference": given masks decide; "zero": nothing is kept but the floor and anchors
    selection: Selection = field(default_factory=Selection)  # what the checkpoint was published with
