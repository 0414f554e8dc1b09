"""``python -m glimpse_core world``: write a scene or a page of the demo world and its questions."""

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("world", help="write a demo scene or page (PNG) and its questions (JSON)")
    parser.add_argument("--kind", choices=("scene", "page"), default="scene", help="what to draw (default scene)")
    parser.add_argument("--seed", type=int, default=7, help="number of the first picture (default 7)")
    parser.add_argument("--count", type=int, default=1, help="number of pictures, with consecutive seeds (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made if missing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
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
    from glimpse_core.world import questions, scene

    picture = scene(seed)
    things = [
        {"kind": thing.kind, "color": thing.color, "label": thing.label, "box": [round(v, 2) for v in thing.box]}
        for thing in picture.things
    ]
    return picture.image, {"place": picture.place, "things": things}, [one.to_dict() for one in questions(picture)]


def _page(seed: int) -> tuple[Image.Image, dict[str, Any], list[dict]]:
    from glimpse_core.world import page, page_questions

    picture = page(seed)
    cells = [
        {"text": cell.text, "kind": cell.kind, "row": cell.row, "column": cell.column,
         "box": [round(edge, 6) for edge in cell.box]}
        for cell in picture.cells
    ]  # fmt: skip
    truth = {"kind": picture.kind, "palette": picture.palette, "cells": cells}
    return picture.image, truth, [one.to_dict() for one in page_questions(picture)]
