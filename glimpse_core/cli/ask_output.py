"""What ``python -m glimpse_core ask`` prints and writes: answers as they grow, overlays, and one JSON object."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import to_json
from glimpse_core.types import Settings

if TYPE_CHECKING:
    from PIL import Image

    from glimpse_core.inference.decoding import Answer
    from glimpse_core.inference.session import Session
    from glimpse_core.media.overlay import View
    from glimpse_core.types import Sampling


def stream(name: str, answer: Answer, quiet: bool) -> Answer:
    """Print the answer as it grows."""
    if quiet:
        return answer.complete()
    print(f"{name}: ", end="", flush=True)
    shown = ""
    for step in answer:
        print(step.text[len(shown) :], end="", flush=True)
        shown = step.text
    print(answer.text[len(shown) :], flush=True)
    return answer


def stream_band(
    session: Session, budgets: tuple[int, ...] | None, settings: Settings, limit: int, quiet: bool
) -> list[dict[str, Any]]:
    """Answer at many budgets, and print each answer as soon as it is complete.

    Returns:
        Budget, number of tokens kept, text, generated ids and how it ended, of each answer.
    """
    band, printed = session.band(budgets, settings, max_new_tokens=limit), 0
    for answers in band:
        while not quiet and printed < len(answers) and answers[printed].finished:
            print(f"{answers[printed].budget} tokens: {answers[printed].text}", flush=True)
            printed += 1
    return [answer.to_dict() for answer in band.answers]


def attributions(
    session: Session, answers: dict[str, Answer], masks: dict[str, Any], quiet: bool
) -> dict[str, dict[str, Any] | None]:
    """Find out which visual tokens the words of each answer need, and print them.

    Args:
        session: that gave the answers.
        answers: by name.
        masks: by the same names, (N,) bool of the tokens that an answer was made from; None: all of them.
        quiet: print nothing.

    Returns:
        `Attribution.to_dict` of each answer; None for one without a word.
    """
    from glimpse_core.glimpse.settings.table import PAINTED

    made: dict[str, dict[str, Any] | None] = {}
    for name, answer in answers.items():
        found = session.attribute(answer, masks[name]) if answer.text.strip() else None
        made[name] = None if found is None else found.to_dict()
        for word, needed in zip(found.words, found.needed, strict=True) if found and not quiet else ():
            print(f"{name}: {word.text!r} needs {PAINTED.to_text(needed) if needed else 'no visual token'}", flush=True)
    return made


def save_overlays(path: Path, images: list[Image.Image], session: Session, mask: Any, view: View) -> None:
    """One file per image; several get a number before the suffix."""
    import torch

    from glimpse_core.media.overlay import overlay, split

    if path.suffix.lower() not in (".png", ".webp", ".jpg", ".jpeg"):
        raise GlimpseError(f"--save-overlay is {path}. Expected an image file: give a name that ends in .png.")
    probabilities = split(session.probabilities.numpy(), session.grids)
    everything = torch.ones(len(session.probabilities), dtype=torch.bool)
    masks = split((everything if mask is None else mask).numpy(), session.grids)
    for number, (image, grid) in enumerate(zip(images, session.grids, strict=True)):
        target = path if len(images) == 1 else path.with_stem(f"{path.stem}_{number + 1}")
        target.parent.mkdir(parents=True, exist_ok=True)
        overlay(image, probabilities[number], masks[number], grid, view=view).save(target)


def remark(report: dict[str, Any]) -> None:
    """Print to stderr how many tokens were kept, and a warning about an unfamiliar image. report: of `summary`."""
    tokens, familiarity = report["visual_tokens"], report["familiarity"]
    print(
        f"visual tokens {tokens['before']} -> {tokens['after']} ({tokens['share']:.1%}) on {report['model']}",
        file=sys.stderr,
    )
    if report["scores"]["kind"] == "attention":
        print(f"scores: {report['scores']['meaning']}", file=sys.stderr)
    if familiarity and not familiarity["familiar"]:
        print(
            "The image is unlike those that this model was trained on "
            f"(distance {familiarity['distance']:.2f}, at most {familiarity['limit']:.2f} of its own): expect a wrong "
            "answer.",
            file=sys.stderr,
        )


def summary(
    args: argparse.Namespace,
    question: str,
    session: Session,
    settings: Settings,
    mask: Any,
    answers: dict[str, Answer],
    sampling: Sampling,
) -> dict[str, Any]:
    """Everything that was done, as plain values."""
    from glimpse_core.inference.sampling import penalty_of

    total, familiarity = session.tokens, session.familiarity
    parted = session.divergence(answers["full"], answers["pruned"]) if len(answers) == 2 else None
    after = total if mask is None else int(mask.sum())
    return {
        "model": session.model.name,
        "question": question,
        "images": [str(path) for path in args.images],
        "video": str(args.video) if args.video else None,
        "pruner": args.pruner if session.model.trained or args.pruner != "glimpse" else "attention",
        "scores": session.model.scored_by,
        "settings": to_json(settings),
        "visual_tokens": {"before": total, "after": after, "share": after / total},
        "prompt_length": session.prompt_length,
        "reused_tokens": session.reused,
        "grids": [[grid.rows, grid.cols] for grid in session.grids],
        "kept": list(range(total)) if mask is None else mask.nonzero().flatten().tolist(),
        "repetition_penalty": penalty_of(session.model.backbone, sampling),
        "answers": {
            name: {
                "text": answer.text,
                "tokens": answer.tokens,
                "finished": answer.finished,
                "seconds": {"branch": answer.timings["branch"], "tokens": answer.timings["tokens"]},
            }
            for name, answer in answers.items()
        },
        "divergence": None if parted is None else parted.to_dict(),
        "familiarity": None if familiarity is None else familiarity.to_dict(),
        "seconds": session.timings,
        "device": str(session.model.device),
        "dtype": str(session.model.dtype).removeprefix("torch."),
        "attn": session.model.attn,
    }
