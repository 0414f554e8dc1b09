"""``python -m glimpse_core ask``: one question about one or several images, answered with and without pruning."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimpse_core.cli.ask_output import attributions, remark, save_overlays, stream, stream_band, summary
from glimpse_core.cli.options import add_adapter, add_glimpse, add_placement
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import CONTROL, with_values
from glimpse_core.glimpse.settings.interfaces import add_options, from_options
from glimpse_core.types import Settings

if TYPE_CHECKING:
    from PIL import Image

    from glimpse_core.inference.session import Session
    from glimpse_core.types import Selection

PRUNERS = ("glimpse", "none", *CONTROL.choices, "grid")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `ask` and its options."""
    parser = subparsers.add_parser(
        "ask",
        help="answer a question about images or a video",
        description="Ask about images, or about a video (Qwen models). The pruned answer comes first, then the full "
        "one, from the same first layers.",
    )
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="image files, in the order of the prompt")
    parser.add_argument("--video", type=Path, help="instead of images: a video file, or a folder of frames")
    parser.add_argument("--fps", type=float, default=2.0, help="frames per second of the video (default 2)")
    parser.add_argument("--max-frames", type=int, default=32, help="maximum number of video frames (default 32)")
    parser.add_argument(
        "-q",
        "--question",
        required=True,
        action="append",
        help="the question, any text; give it again for further questions about the same images, which are not encoded "
        "again",
    )
    parser.add_argument("--system", help="system prompt; default is the chat template's")
    parser.add_argument("--model", default="demo", help="catalog name, folder or Hub name (default demo)")
    add_glimpse(parser)
    add_adapter(parser)
    _add_choice_of_tokens(parser)
    _add_answering(parser)
    where = parser.add_argument_group("where it runs")
    add_placement(where)
    parser.add_argument("--json", action="store_true", help="print one JSON object per question instead of text")
    parser.add_argument("--save-overlay", type=Path, metavar="PNG", help="write the image with the kept tokens marked")
    parser.add_argument(
        "--view", default="heat", choices=("heat", "kept", "kept_only"), help="of the overlay (default heat)"
    )
    parser.set_defaults(run=run)


def _add_choice_of_tokens(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group(
        "what is kept (default: as the checkpoint was published; without glimpse modules the 11.1%% most attended)"
    )
    add_options(what)
    what.add_argument(
        "--pruner",
        default="glimpse",
        choices=PRUNERS,
        help="glimpse (default) keeps by the model's scores, which without glimpse modules are attention; grid as many "
        "tokens, spread evenly; random and inverse are earlier names of --control",
    )


def _add_answering(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how it is answered (--seed is for sampling, too)")
    how.add_argument("--max-new-tokens", type=int, default=128, help="default 128")
    how.add_argument("--temperature", type=float, default=0.0, help="0 (default) takes the most probable token")
    how.add_argument("--top-p", type=float, default=1.0)
    how.add_argument(
        "--repetition-penalty",
        type=float,
        help="of tokens that occurred before; 1 is none (default: the model's own)",
    )
    how.add_argument(
        "--budgets",
        metavar="auto|1,8,64",
        help="also answer from exactly these numbers of tokens each, by rank, from the same first layers (auto: twelve "
        "from one to all)",
    )
    how.add_argument(
        "--attribute",
        action="store_true",
        help="also find out which visual tokens each word of the answers needs, by leaving tokens out",
    )
    how.add_argument("--no-full", action="store_true", help="leave out the full answer")


def run(args: argparse.Namespace) -> int:
    """Ask the questions and print both answers to each, or one JSON object each.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for options that contradict each other, files that cannot be read, and models that cannot load.
    """
    from glimpse_core.inference.band import read_budgets

    budgets = read_budgets(args.budgets, "--budgets") if args.budgets else None
    session, images = asked(args)
    for number, question in enumerate(args.question):
        session = session.next(question) if number else session
        if len(args.question) > 1 and not args.json:
            print(f"question: {question}", flush=True)
        _answer(args, session, images, number, budgets)
    return 0


def _answer(
    args: argparse.Namespace,
    session: Session,
    images: list[Image.Image],
    number: int,
    budgets: tuple[int, ...] | None,
) -> None:
    """Answer one question, number `number` of those given, and print what there is to say."""
    from glimpse_core.types import Sampling

    settings = asked_for(args, session.model.selection)
    mask = masked(session, settings, args.pruner)
    if args.save_overlay:
        target = args.save_overlay.with_stem(f"{args.save_overlay.stem}_q{number + 1}") if number else args.save_overlay
        save_overlays(target, images, session, mask, args.view)
    seed = settings.edits.seed
    sampling = Sampling(args.temperature, args.top_p, seed, args.max_new_tokens, args.repetition_penalty)
    answers = {}
    if mask is not None:
        answers["pruned"] = stream("pruned", session.answer(mask, sampling), quiet=args.json)
    if mask is None or not args.no_full:
        answers["full"] = stream("full", session.answer(None, sampling), quiet=args.json)
    report = summary(args, args.question[number], session, settings, mask, answers, sampling)
    if args.budgets:
        report["band"] = stream_band(session, budgets, settings, args.max_new_tokens, quiet=args.json)
    if args.attribute:
        masks = {name: mask if name == "pruned" else None for name in answers}
        report["attribution"] = attributions(session, answers, masks, quiet=args.json)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        remark(report)


def asked(args: argparse.Namespace) -> tuple[Session, list[Image.Image]]:
    """Load the model and ask the question.

    Returns:
        The session, and one image per grid: the images given, or the first frame of each temporal slice of the video.

    Raises:
        GlimpseError: for images and video together or neither, files that cannot be read, and models that cannot load.
    """
    if bool(args.images) == bool(args.video):
        given = "Images and --video were both" if args.video else "Neither images nor --video were"
        raise GlimpseError(f"{given} given. Expected one of them: name image files, or a video.")
    images, per_second = [open_image(path) for path in args.images], 0.0
    if args.video:
        from glimpse_core.media.video import frames

        images, per_second = frames(args.video, args.fps, args.max_frames)

    from transformers.utils.logging import disable_progress_bar

    from glimpse_core.inference.session import Session
    from glimpse_core.models import catalog

    disable_progress_bar()
    how = {"dtype": args.dtype, "device": args.device, "attn": args.attn, "adapter": args.adapter}
    how |= {"glimpse": args.glimpse, "keep_layer": args.keep_layer}
    model = catalog.load(args.model, merge=not args.no_merge, **how)
    if not args.video:
        return Session.ask(model, images, args.question[0], system=args.system), images
    session = Session.ask_video(model, images, args.question[0], fps=per_second, system=args.system)
    return session, images[::2] if len(images) > 1 else images


def open_image(path: Path) -> Image.Image:
    """The image, upright RGB. Raises `GlimpseError` that names the file if there is none."""
    from glimpse_core.media.images import read_image

    if not path.exists():
        raise GlimpseError(f"{path} does not exist. Expected an image file: give its path.")
    try:
        return read_image(path)
    except GlimpseError as error:
        raise GlimpseError(f"{path}: {error}") from None


def asked_for(args: argparse.Namespace, published: Selection) -> Settings:
    """The settings that were given, over those of the checkpoint. Raises GlimpseError."""
    settings = from_options(args, Settings(published))
    if args.pruner not in CONTROL.choices:
        return settings
    if settings.edits.control not in ("", args.pruner):
        raise GlimpseError(
            f"--pruner is {args.pruner}, --control {settings.edits.control}. Expected one of them: leave out --pruner."
        )
    return with_values(settings, {CONTROL.name: args.pruner})


def masked(session: Session, settings: Settings, pruner: str) -> Any:
    """(N,) bool of the tokens to answer from; None is all of them."""
    if pruner == "none":
        return None
    mask = session.choose(settings).mask
    return session.grid(int(mask.sum())) if pruner == "grid" else mask
