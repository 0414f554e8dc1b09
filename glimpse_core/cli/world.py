"""``python -m glimpse_core world``: write a scene of the demo world and its questions."""

import argparse
import json
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("world", help="write a demo scene (PNG) and its questions (JSON)")
    parser.add_argument("--seed", type=int, default=7, help="number of the first scene (default 7)")
    parser.add_argument("--count", type=int, default=1, help="how many scenes, with consecutive seeds (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made if missing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from glimpse_core.world import questions, scene

    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seed, args.seed + args.count):
        picture = scene(seed)
        picture.image.save(args.out / f"scene_{seed}.png")
        record = {
            "seed": seed,
            "image": f"scene_{seed}.png",
            "width": picture.width,
            "height": picture.height,
            "place": picture.place,
            "things": [
                {
                    "kind": thing.kind,
                    "color": thing.color,
                    "label": thing.label,
                    "box": [round(v, 2) for v in thing.box],
                }
                for thing in picture.things
            ],
            "questions": [question.to_dict() for question in questions(picture)],
        }
        (args.out / f"scene_{seed}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(args.out / f"scene_{seed}.png")
    return 0
