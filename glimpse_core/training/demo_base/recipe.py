"""The recipe of the demo base: its shape, its curriculum, the supervised layers and all weights, in one place.

Time is counted in minutes of training: CPU minutes of the training process, which has one thread, over all runs of the
same folder. So a busy machine or an interruption changes nothing.
"""

from dataclasses import dataclass, field

SCENE_SIDES = tuple(range(336, 785, 56))  # pixels


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; the stages of a recipe say how many layers it has.

    Attention heads are 32 wide, as the rotary sections (4, 6, 6) need it.
    """

    width: int = 256
    inner: int = 640
    key_heads: int = 2
    rope_base: float = 30.0
    vision_depth: int = 4
    vision_width: int = 128


@dataclass(frozen=True)
class Supervision:
    """Which layers are supervised, numbered from 0.

    Args:
        early_layers: attention to what is named, in a list to the item before.
        look_layers: attention to the evidence.
        look_heads: heads that are supervised in either.
        cover_layers: attention of a question's last token to all its evidence alike.
        cover_heads: heads that are supervised so.
        mask_layers: those whose attention the predictor will read.
        locate_after: number of layers after which the visual tokens know what they belong to.
        depths: numbers of layers, drawn for each batch, after which questions lose tokens.
    """

    early_layers: tuple[int, ...] = (3,)
    look_layers: tuple[int, ...] = (5, 6)
    look_heads: tuple[int, ...] = (0, 3, 4)
    cover_layers: tuple[int, ...] = (4, 5)
    cover_heads: tuple[int, ...] = (1, 2)
    mask_layers: tuple[int, ...] = (4, 5)
    locate_after: int = 2
    depths: tuple[int, ...] = (6, 6, 6, 7)


@dataclass(frozen=True)
class Weights:
    """Weights of the losses; that of the answers is 1."""

    dense: float = 1.0
    words: float = 0.5
    look: float = 0.1
    cover: float = 0.25
    mask: float = 0.5
    locate: float = 0.1


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum.

    Args:
        until: minute of training at which it ends.
        sides: sides of scenes in pixels.
        objects: least and largest number of objects of a scene.
        page_sides: sides of pages in pixels; empty for pages of their own sizes.
        pages: share of the batches that show pages.
        dense_only: train the vision tower alone, on what lies under each visual token.
        rate: learning rates as a share of the recipe's.
        layers: decoder layers; more than in the stage before are added without changing any answer (`model.grown`).
    """

    until: float
    sides: tuple[int, ...]
    objects: tuple[int, int]
    page_sides: tuple[int, ...]
    pages: float = 0.5
    dense_only: bool = False
    rate: float = 1.0
    layers: int = 9


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run.

    Args:
        shape: of the model.
        stages: the curriculum.
        supervision: which layers are supervised.
        weights: of the losses.
        minutes: length of the schedule in minutes of training.
        decay_from: minute from which the learning rate falls, to 2% of its peak at the end.
        budget: visual and text tokens per step; half as many where the vision tower is trained alone.
        ahead: share of the batches that come from a later stage.
        rate: peak learning rate of AdamW: embeddings, norms, biases, heads.
        matrix_rate: peak learning rate of Muon: all matrices of the blocks.
        warmup: steps of rising learning rate.
        weight_decay, matrix_decay: of both, for matrices.
        clip: largest norm of the gradient.
        seed: of weights and data.
    """

    shape: Shape = field(default_factory=Shape)
    stages: tuple[Stage, ...] = ()
    supervision: Supervision = field(default_factory=Supervision)
    weights: Weights = field(default_factory=Weights)
    minutes: float = 600.0
    decay_from: float = 360.0
    budget: int = 4000
    ahead: float = 0.1
    rate: float = 1.2e-3
    matrix_rate: float = 0.01
    warmup: int = 100
    weight_decay: float = 0.05
    matrix_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0

    def stage_at(self, minute: float) -> Stage:
        """Return the stage of a minute of training; the last one does not end."""
        return next((stage for stage in self.stages if minute < stage.until), self.stages[-1])


BASE = Recipe(
    stages=(
        Stage(8, SCENE_SIDES[:2], (3, 6), (504, 532, 560), pages=0.7, dense_only=True, rate=1.6),
        Stage(17, SCENE_SIDES[:2], (3, 6), (504, 532, 560), pages=0.4, dense_only=True, rate=1.6),
        Stage(240, SCENE_SIDES[:3], (3, 6), (504, 532, 560, 588)),
        Stage(360, SCENE_SIDES[:5], (3, 9), (560, 616, 672, 728, 784)),
        Stage(450, SCENE_SIDES, (3, 14), ()),
        Stage(600, SCENE_SIDES, (3, 14), (), layers=18),
    )
)
