"""The values that travel between the packages: frozen dataclasses without behavior, and without torch at run time.

Letters used for shapes everywhere in this package:
B batch rows, L prompt tokens (image placeholders expanded), N visual tokens (after the 2x2 merge, all images in order),
N_b those of row b, C hidden size of the language model, V hidden size of the vision tower, H attention heads,
A position axes (3 for Qwen's time/height/width), G glimpse tokens, n_sel vision layers read, F DeepStack features.
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

    Attributes:
        rows, cols: size of the grid in visual tokens.
        frame: left, top, right and bottom of the image as shares of the grid. A model that pads images to a square
            (LLaVA-1.5) has tokens outside the frame; elsewhere the image fills the grid.
    """

    rows: int
    cols: int
    frame: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    @property
    def tokens(self) -> int:
        """Number of visual tokens."""
        return self.rows * self.cols


@dataclass(frozen=True)
class Prompt:
    """Inputs of the model, exactly as the processor of the base model makes them. Sessions use B = 1."""

    input_ids: Tensor  # (B, L) int64, one image placeholder id per visual token
    attention_mask: Tensor  # (B, L) int64, 1 where real; padding, if any, on the left
    pixel_values: Tensor | None  # (patches, patch values) float32; None for a prompt without images
    image_grid_thw: Tensor | None  # (images, 3) int64, in patches: time, height, width
    mm_token_type_ids: Tensor  # (B, L) int32, 1 at image placeholders, 2 at video placeholders
    grids: tuple[Grid, ...]  # one per image, or per temporal slice of a video, in merged tokens, in prompt order
    seconds: tuple[float, ...] = ()  # one per video: from one temporal slice to the next; empty: the prompt has images


@dataclass(frozen=True)
class VisionReads:
    """What to read inside the vision tower while it runs.

    Attributes:
        states: numbers of the blocks whose output to return, from 0.
        attention: numbers of the blocks whose attention and keys to return, from 0.
    """

    states: tuple[int, ...] = ()
    attention: tuple[int, ...] = ()


@dataclass(frozen=True)
class VisionReadings:
    """What was read inside the vision tower, by block number, one entry per visual token in raster order.

    Attributes:
        states: (N, V) output of the block, averaged over the patches of a token.
        attention: (N,) float32 attention that the token receives, averaged over heads: from the class token if the
            tower has one, else the sum from all patches of its image (1 on average).
        keys: (N, head size) averaged over heads.
        summaries: (images, V) state of the class token, for towers that have one.
    """

    states: Mapping[int, Tensor] = field(default_factory=dict)
    attention: Mapping[int, Tensor] = field(default_factory=dict)
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    summaries: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Vision:
    """All images of a prompt, encoded by the vision tower and concatenated in raster order."""

    embeds: Tensor  # (N, C) embeddings that replace the image placeholders
    conditions: Tensor  # (n_sel, N, V) raw hidden states for the VIP, in the order of `GlimpseConfig.vision_layers`
    readings: VisionReadings = field(default_factory=VisionReadings)  # only what `VisionReads` asked for
    deepstack: Tensor | None = None  # (F, N, C) features i are added after decoder layer i; None: the family has none


@dataclass(frozen=True)
class Prefix:
    """A prompt stopped between two decoder layers. Immutable: the verbs in `engine/prefix.py` return new ones."""

    hidden: Tensor  # (B, L, C) input of layer `depth`
    positions: Tensor  # (A, B, L) int64 for multi-axis RoPE, else (B, L)
    padding: Tensor | None  # (B, L) bool, True where real; None when nothing is padded
    cache: DynamicCache | None  # layers [0, depth) are filled; None when training
    depth: int = 0
    shifts: tuple[int, ...] = ()  # per layer that has run: added to `positions` there; set by renumbering (`keep`)
    processed: tuple[int, ...] = ()  # per layer that has run: its input tokens, padding and glimpse token included
    pending: Tensor | None = None  # (F, B, L, C) added to the output of layers `depth`, `depth` + 1, ... (DeepStack)


@dataclass(frozen=True)
class Scores:
    """Input and output of the Visual Importance Predictor (VIP) for every batch row."""

    attention: Tensor  # (N, read layers * H) the glimpse token's attention to the visual tokens: the VIP's input
    logits: tuple[Tensor, ...]  # per row: (outputs, N_b) logits of being kept; the last output decides


@dataclass(frozen=True)
class Schedule:
    """Number of visual tokens of one prompt row that are left, by decoder layer.

    Attributes:
        total: tokens before any is dropped.
        alive: per layer, tokens that it runs on in the prefill.
        cached: per layer, tokens that its cache holds while the answer is generated.
        seen: tokens that the vision tower made for this run; fewer than `total` if it was given a smaller image.
    """

    total: int
    alive: tuple[int, ...]
    cached: tuple[int, ...]
    seen: int

    @property
    def final(self) -> int:
        """Number of tokens that are left after the last drop."""
        return self.cached[-1]  # the last drop may come after the last layer


@dataclass(frozen=True)
class Pruned:
    """The result of a pruner: the shared prefill, the continuation that lost tokens, and what it kept.

    Attributes:
        trunk: all prompt tokens, stopped where the first are dropped; the unpruned answer goes on from here. None if
            the whole image was never encoded (a smaller image or none, without `vision`).
        branch: the kept tokens, stopped where the last are dropped: at the depth of `trunk` or deeper.
        kept: per row (N_b,) bool, True at the places that are left (a merged token: at the place that it took). A
            method may keep a token besides that has no place in the grid; the counts in `schedules` include it.
        scores: what the VIP read and returned; None for pruners without it.
        schedules: per row, the number of visual tokens by layer.
    """

    trunk: Prefix | None
    branch: Prefix
    kept: tuple[Tensor, ...]
    scores: Scores | None
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The rule from scores to kept tokens, applied in the order of the fields. Per call, never part of a model.

    Attributes:
        threshold: a token is kept if its probability is above it.
        max_ratio: at most int(max_ratio * N) tokens pass the threshold, but one at least. None: no limit.
        min_tokens: minimum number of tokens that are kept, the most probable ones.
        anchors: corner tokens that are kept in any case, any of "tl", "tr", "bl", "br" (one image only).
    """

    threshold: float = 0.5
    max_ratio: float | None = None
    min_tokens: int = 1
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ManualEdits:
    """Changes that a person made to a selection, and the control mask to answer with in its place.

    Attributes:
        painted, erased: raster indices of visual tokens, all images in prompt order, ascending; no token is in both.
        control: "" (none), "random" (as many random tokens as would be kept) or "inverse" (exactly the other tokens).
        seed: draws the random tokens.
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

    Anchors are kept and edits applied with and without a budget, in this order.

    Attributes:
        selection: the published rule.
        budget: number of tokens to keep, the highest-ranked ones, instead of threshold, cap and floor. None: not used.
        edits: of a person.
    """

    selection: Selection = Selection()
    budget: int | None = None
    edits: ManualEdits = ManualEdits()


@dataclass(frozen=True)
class Kept:
    """A mask over the visual tokens, and the reason for each entry (`glimpse.selection.REASONS` names the codes)."""

    mask: Tensor  # (N,) bool
    reason: Tensor  # (N,) uint8


@dataclass(frozen=True)
class Sampling:
    """How the tokens of an answer are chosen.

    Attributes:
        temperature: 0 is greedy; otherwise nucleus sampling with `top_p`, seeded by `seed`.
        top_p: share of the probability that sampling draws from, above 0 to 1.
        seed: of the random generator.
        max_new_tokens: length at which an answer is cut.
        repetition_penalty: of tokens that are in the prompt or the answer already. 1 is none; None is the model's own
            (its generation_config; 1.05 for the published Qwen2.5-VL), which `generate` applies as well.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_new_tokens: int = 64
    repetition_penalty: float | None = None


@dataclass(frozen=True)
class Step:
    """One generated token."""

    text: str  # the whole answer so far, never ending in half a character
    token_id: int
    seconds: float  # since the previous token; for the first token, with the rest of the prefill
    index: int  # of this token in the answer, from 0


@dataclass(frozen=True)
class GlimpseConfig:
    """Architecture of the trained modules, which `models/checkpoint.py` reads under its published names.

    Attributes:
        keep_layer: the paper's K, from 0: tokens are dropped after this decoder layer.
        read_layers: decoder layers, from 0, whose glimpse attention feeds the VIP.
        glimpse_layers: decoder layers, from 0; glimpse vector j is added before layer `glimpse_layers[j]`.
        vision_layers: states of the vision tower that the VIP reads, numbered as the backbone numbers them.
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
