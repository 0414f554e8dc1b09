"""What one question left behind, as plain JSON: the value that every export, and the API, is made from.

Its form is `record.schema.json` beside this file (JSON Schema 2020-12), which says what every field means; `settings`
in it is that of the settings' codec, and `python -m glimpse_core.ui.record` writes it there. A record holds no picture
and no tensor, so it may outlive the session that it came from. `upgrade` reads those of earlier versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_core.costs.cost import Costs
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import ANCHOR, ERASED, PAINTED, REASONS, REASONS_BY_RANK, anchor_tokens
from glimpse_core.glimpse.settings import ANCHORS, CONTROL, describe, from_json, to_json
from glimpse_core.glimpse.settings.interfaces import schema
from glimpse_core.inference.attribution import Attribution
from glimpse_core.inference.sampling import penalty_of
from glimpse_core.media.overlay import split
from glimpse_core.storage.versions import versions
from glimpse_core.types import Grid, Kept, Sampling, Settings
from glimpse_core.ui import compare, texts
from glimpse_core.ui.figures import first_token_seconds
from glimpse_core.ui.messages import Side

FORMAT, FIRST = "glimpse-record/2", "glimpse-record/1"
SCHEMA = Path(__file__).with_name("record.schema.json")
SAMPLING = ("max_new_tokens", "temperature", "repetition_penalty")
PACKAGES = ("torch", "transformers", "gradio", "numpy", "pillow")

Record = dict[str, Any]


def record(
    model: Any,
    session: Any,
    *,
    question: str,
    alts: Sequence[str],
    originals: Sequence[tuple[int, int]],
    kept: Kept,
    settings: Settings,
    sampling: Sampling,
    answers: Mapping[Side, Any],
    costs: Costs,
    truth: str | None = None,
    words: Mapping[Side, dict[str, Any]] | None = None,
) -> Record:
    """The record of a question that was looked at, and perhaps answered.

    Args:
        model, session: what was asked; only plain values are taken from them.
        alts, originals: per picture, its text alternative and its (width, height) as given.
        kept: the mask and reasons (N,) that the pruned answer was made with.
        settings: what the mask came from.
        answers: "full" and "kept", as far as there are such; each an `Answer` or anything with its fields.
        words: what the words of these answers need, as far as that was computed (`Attribution.to_dict`).
    """
    given = {name: _answer(session, answers[name], name == "kept") for name in ("full", "kept") if answers.get(name)}
    for name, found in (words or {}).items():
        given[name]["words"] = found
    familiarity = session.familiarity
    both = [given[name]["text"] for name in given if given[name]["finished"] in ("stop", "length")]
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "question": question,
        "truth": truth,
        "model": _model(model, costs),
        "scores": model.scored_by,
        "rule": texts.rule(settings, model.trained),
        "settings": to_json(settings),
        "sampling": {
            "max_new_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "repetition_penalty": penalty_of(model.backbone, sampling),
        },
        "tokens": {
            "total": len(kept.mask),
            "kept": int(kept.mask.sum()),
            "prompt": session.prompt_length,
            "reused": session.reused,
        },
        "reasons": list(REASONS if model.trained else REASONS_BY_RANK),
        "pictures": _pictures(session, alts, originals, kept),
        "answers": {"full": given.get("full"), "kept": given.get("kept")},
        "divergence": _divergence(session, answers),
        "same": compare.same(*both) if len(both) == 2 else None,
        "familiarity": familiarity.to_dict() if familiarity else None,
        "costs": costs.to_dict(),
        "timings": {name: _number(seconds) for name, seconds in session.timings.items()},
        "versions": {name: version for name, version in versions(*PACKAGES).items() if version is not None},
    }


def with_words(value: Record, side: Side, text: str, found: Attribution) -> Record:
    """A record with what the words of one of its answers need; unchanged where that is of another answer.

    Args:
        value: the record.
        side: which of its answers.
        text: of the answer that the words are of.
        found: what they need.
    """
    answer = value["answers"][side]
    kept = [on for picture in value["pictures"] for row in picture["kept"] for on in row]
    same = side == "full" or kept == found.kept.int().tolist()
    if answer is None or answer["text"] != text or not same:
        return value
    return value | {"answers": value["answers"] | {side: answer | {"words": found.to_dict()}}}


def settings_of(value: Record) -> Settings:
    """The settings that a record was made with. Raises GlimpseError for a record of an unknown version."""
    return from_json(upgrade(value)["settings"])


def upgrade(value: Record) -> Record:
    """A record of any version as one of this version. Raises GlimpseError for an unknown version.

    The first version did not say which tokens were painted, which corners were anchors, or how random tokens were
    drawn. They are taken from the reasons, or, for a control, from the mask, so that the settings give the same mask.
    """
    version = value.get("format")
    if version == FORMAT:
        return value
    if version != FIRST:
        raise GlimpseError(f"The record's format is {version!r}. Expected {FORMAT} or {FIRST}.")
    old = dict(value["settings"])
    rule = old.pop("rule")
    sampling = {name: old.pop(name) for name in SAMPLING if name in old}
    settings = from_json(old | _edits(value["pictures"]))
    words = CONTROL.choices.get(rule, describe(settings))
    return value | {"format": FORMAT, "rule": words, "settings": to_json(settings), "sampling": sampling}


def _edits(pictures: list[dict[str, Any]]) -> dict[str, Any]:
    """What the reasons of the first version say of painted tokens and anchors."""
    codes = [code for picture in pictures for row in picture["reasons"] for code in row]
    grid = Grid(pictures[0]["rows"], pictures[0]["cols"])
    corners = {name: anchor_tokens((name,), grid)[0] for name in ANCHORS.choices} if len(pictures) == 1 else {}
    return {
        "painted": [token for token, code in enumerate(codes) if code == PAINTED],
        "erased": [token for token, code in enumerate(codes) if code == ERASED],
        "anchors": [name for name, token in corners.items() if codes[token] == ANCHOR],
    }


def text(value: Record) -> str:
    """The record as the text of a JSON file."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)


def _model(model: Any, costs: Costs) -> dict[str, Any]:
    return {
        "name": str(model.name),
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(model.attn),
        "layers": costs.layers,
        "keep_layer": costs.keep_layer,
    }


def _answer(session: Any, answer: Any, pruned: bool) -> dict[str, Any]:
    return {
        "text": answer.text,
        "finished": answer.finished or "cancelled",
        "tokens": len(answer.tokens),
        "seconds": {
            "first_token": _number(first_token_seconds(session, answer, pruned)),
            "branch": _number(answer.timings["branch"]),
            "steps": [_number(step) for step in answer.timings["tokens"]],
        },
    }


def _divergence(session: Any, answers: Mapping[Side, Any]) -> dict[str, Any] | None:
    """Where the two answers part; None where they do not, or one is missing."""
    if not (answers.get("full") and answers.get("kept")):
        return None
    found = session.divergence(answers["full"], answers["kept"])
    return None if found is None else found.to_dict()


def _pictures(
    session: Any, alts: Sequence[str], originals: Sequence[tuple[int, int]], kept: Kept
) -> list[dict[str, Any]]:
    grids: tuple[Grid, ...] = session.grids
    values = [split(array, grids) for array in (session.probabilities, kept.mask, kept.reason)]
    logits = split(session.logits, grids) if session.model.trained else [None] * len(grids)
    return [
        {
            "alt": alt,
            "original": list(original),
            "size": list(size),
            "rows": grid.rows,
            "cols": grid.cols,
            "frame": list(grid.frame),
            "probabilities": _rows(probabilities),
            "logits": None if one is None else _rows(one),
            "kept": mask.astype(int).tolist(),
            "reasons": reason.tolist(),
        }
        for alt, original, size, grid, one, probabilities, mask, reason in zip(
            alts, originals, session.sizes, grids, logits, *values, strict=True
        )
    ]


def _rows(values: np.ndarray) -> list[list[float]]:
    """float32 values by row; nine digits give each of them back exactly."""
    return [[float(f"{value:.9g}") for value in row] for row in values.tolist()]


def _number(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def write_schema(path: Path = SCHEMA) -> None:
    """Put the schema of the settings, which their table decides, into the schema of records."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["properties"]["settings"] = schema()
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
