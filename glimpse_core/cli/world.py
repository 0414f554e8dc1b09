"""``python -m glimpse_core world``: write a scene or a page of the demo world and its questions."""

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `world` and its options."""
    parser = subparsers.add_parser("world", help="write a demo scene or page (PNG) and its questions (JSON)")
    parser.add_argument("--kind", choices=("scene", "page"), default="scene", help="what to draw (default scene)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the first image (default 7)")
    parser.add_argument("--count", type=int, default=1, help="number of images, with consecutive seeds (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, created if missing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write images and their questions, and print the names of the images.

    Returns:
        The exit code: 0.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    drawn = _scene if args.kind == "scene" else _page
    for seed in range(args.seed, args.seed + args.count):
        name = f"{args.kind}_{seed}"
        image, truth, questions = drawn(seed)
        image.save(args.out / f"{name}.png")
        size = {"width": image.width, "height": image.height}
        record = {"seed": seed, "image": f"{name}.png", **size, **truth, "questions": questions}
        (args.out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(args.out / f"{name}.png")
    return 0


def _scene(seed: int) -> tuple[Image.Image, dict[str, Any], list[dict]]:
    from glimpse_core import world

    scene = world.scene(seed)
    things = [
        {"kind": thing.kind, "color": thing.color, "label": thing.label, "box": [round(v, 2) for v in thing.box]}
        for thing in scene.things
    ]
    return scene.image, {"place": scene.place, "things": things}, [one.to_dict() for one in world.questions(scene)]


def _page(seed: int) -> tuple[Image.Image, dict[str, Any], list[dict]]:
    from glimpse_core import world

    page = world.page(seed)
    cells = [
        {"text": cell.text, "kind": cell.kind, "row": cell.row, "column": cell.column,
         "box": [round(edge, 6) for edge in cell.box]}
        for cell in page.cells
    ]  # fmt: skip
    truth = {"kind": page.kind, "palette": page.palette, "cells": cells}
    return page.image, truth, [one.to_dict() for one in world.page_questions(page)]
