"""Which pictures the demo base model is trained on, and when."""

from dataclasses import dataclass

from glimpse_core.world.scene import SIDES


@dataclass(frozen=True)
class Stage:
    """One step of the curriculum, in force until ``until`` (share of the whole run)."""

    until: float
    sides: tuple[int, ...]
    objects: tuple[int, int]
    dense_only: bool = False


CURRICULUM = (
    Stage(0.10, SIDES[:3], (3, 6), dense_only=True),
    Stage(0.65, SIDES[:3], (3, 6)),
    Stage(0.80, SIDES[:5], (3, 9)),
    Stage(1.01, SIDES, (3, 14)),
)


FURTHER = (Stage(1.01, SIDES, (3, 14)),)  # for weights that know the pictures already


def stage_at(progress: float, curriculum: tuple[Stage, ...] = CURRICULUM) -> Stage:
    """The stage of the curriculum at a share of the run in 0..1."""
    return next(stage for stage in curriculum if progress < stage.until)
