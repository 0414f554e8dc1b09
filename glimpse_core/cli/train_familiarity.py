"""``python -m glimpse_core train familiarity``: learn which images a model of the demo world knows."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from glimpse_core.training.familiarity import Rates

Item = TypeVar("Item")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train familiarity` and its options."""
    parser = subparsers.add_parser(
        "familiarity",
        help="learn which images a model of the demo world knows",
        description="Describes COUNT images of the demo world by their visual tokens, writes to OUT where they lie, "
        "and counts how many further ones, and how many PHOTOS, are taken for images of the world.",
    )
    add = parser.add_argument
    add("--model", default="demo", help="catalog name or folder (default demo)")
    add("--out", type=Path, required=True, help="folder of the model's weights, or another one")
    add("--kind", choices=("scene", "page", "both"), default="scene", help="what it was trained on (default scene)")
    add("--count", type=int, default=2000, help="images to learn from (default 2000); a quarter as many set the limit")
    add("--check", type=int, default=500, help="further images to judge (default 500)")
    add("--seed", type=int, default=9_000_000, help="first of them (default 9000000, for tuning; those from 10000000 "
        "on are held out)")  # fmt: skip
    add("--photos", type=Path, help="folder of photographs and documents, none of which is of the world")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn, write, and judge.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for too few images, a folder without photographs, and models that cannot load.
    """
    from glimpse_core.errors import GlimpseError
    from glimpse_core.glimpse.familiarity import fit, save
    from glimpse_core.models import catalog
    from glimpse_core.training import familiarity as training

    if args.count < 8 or args.check < 1:
        raise GlimpseError(f"--count is {args.count} and --check {args.check}. Expected at least 8 and 1.")
    photos = training.photographs(args.photos) if args.photos else []
    model = catalog.load(args.model)
    further = args.count // 4

    def described(first: int, count: int, title: str) -> Tensor:
        images = training.world_images(args.kind, first, count)
        return training.describe(model, progress(images, count, title))

    known = described(training.FIRST, args.count, "learning")
    statistics = fit(known, described(training.FIRST + args.count, further, "setting the limit"))
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"written: {save(statistics, args.out)}, limit {statistics.limit:.3f}")
    print(told(f"images of the world from seed {args.seed}", training.rates(
        statistics, described(args.seed, args.check, "judging"))))  # fmt: skip
    if photos:
        images = map(training.open_photograph, progress(photos, len(photos), "photographs"))
        print(told(f"files of {args.photos}", training.rates(statistics, training.describe(model, images))))
    return 0


def told(what: str, rates: Rates) -> str:
    """One line about how some images were judged."""
    share = rates.familiar / rates.count
    spread = f"distances {rates.least:.2f} to {rates.most:.2f}"
    return f"{rates.familiar} of {rates.count} {what} count as familiar ({share:.1%}); {spread}"


def progress(items: Iterable[Item], count: int, title: str) -> Iterator[Item]:
    """The items, with a bar on stderr."""
    from tqdm import tqdm

    yield from tqdm(items, total=count, desc=title, mininterval=2)
