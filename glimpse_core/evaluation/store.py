"""Results on disk: JSON lines, one per question after a header, written in order as soon as they are known.

A file is always the beginning of the file that the whole run would write, so a run that was killed goes on after it
and ends with the same bytes. Shards of a run have the same header and come together in `merge`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glimpse_core.errors import GlimpseError

if TYPE_CHECKING:
    from torch import Tensor

Entry = dict[str, Any]  # one question; `engine.ask` says what is in it
_SHARD = re.compile(r"questions\.(\d+)-of-(\d+)\.jsonl")


def dump(value: Any) -> str:
    """Write a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False)


def packed(mask: Tensor) -> str:
    """Write a mask (N,) bool, on the CPU, as hexadecimal digits: eight tokens in two, the first token highest."""
    return np.packbits(mask.numpy()).tobytes().hex()


def unpacked(text: str, count: int) -> np.ndarray:
    """Read what `packed` wrote: (count,) bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


class Lines:
    """The file of one run or shard, open for what is still missing. done: the questions that are there, by index."""

    def __init__(self, path: Path, header: dict[str, Any], resume: bool) -> None:
        """Open a new file, or go on with one. Raises GlimpseError for a file of another run, or one not writable."""
        self.path = path
        self.done: dict[int, Entry] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if resume and path.exists():
                self.done = {entry["index"]: entry for entry in _mended(path, dump(header))}
            if not self.done:
                path.write_text(dump(header) + "\n", encoding="utf-8")
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise GlimpseError(
                f"{path} cannot be written ({error.strerror}). Expected a folder to write in: choose another one."
            ) from None

    def add(self, entry: Entry) -> None:
        """Write one question and note it in `done`.

        Args:
            entry: the one that follows the last.
        """
        self.done[entry["index"]] = entry
        self._file.write(dump(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _mended(path: Path, header: str) -> list[Entry]:
    """What an earlier run left; a last line cut short is ignored and taken away."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    if not lines or lines[0] != header:
        raise GlimpseError(
            f"{path} belongs to a run with other settings or weights. Expected the same ones: remove it, or write "
            "elsewhere."
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [json.loads(line) for line in lines[1:]]


def read_lines(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Read header and questions of one file; a last line cut short is left out. Raises GlimpseError."""
    first, *rest = path.read_text(encoding="utf-8").split("\n")[:-1] or [""]
    try:
        return json.loads(first), [json.loads(line) for line in rest]
    except json.JSONDecodeError as error:
        raise GlimpseError(
            f"{path} is damaged ({error}). Expected one JSON object per line: evaluate again."
        ) from error


# ------------------------------------------------------------------------------------------- folders of comparisons


def shard_file(folder: Path, shard: tuple[int, int]) -> Path:
    """Name the file of a shard: (which, of how many)."""
    which, many = shard
    return folder / ("questions.jsonl" if many == 1 else f"questions.{which}-of-{many}.jsonl")


def read(folder: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Read header and questions of a run in order, from one file or from all its shards.

    They may be fewer than planned. Raises GlimpseError where there are no results, or those of different runs.
    """
    files = [folder / "questions.jsonl"]
    if not files[0].exists():
        files = shards(folder)
    if not files:
        raise GlimpseError(f"{folder} has no questions.jsonl. Expected the --out folder of `evaluate`: give it.")
    found = [read_lines(file) for file in files]
    header = found[0][0]
    if any(other != header for other, _ in found):
        raise GlimpseError(
            f"The shards in {folder} belong to different runs. Expected those of one run: evaluate all of them with "
            "the same settings."
        )
    return header, sorted((entry for _, entries in found for entry in entries), key=lambda entry: entry["index"])


def shards(folder: Path) -> list[Path]:
    """List the shard files of a folder. Raises GlimpseError unless all are of the same division."""
    found = [
        (int(match[2]), int(match[1]), path) for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))
    ]
    if len({many for many, _, _ in found}) > 1:
        raise GlimpseError(f"{folder} has shards of different divisions. Expected those of one: remove the old ones.")
    return [path for _, _, path in sorted(found, key=lambda one: one[1])]


def merge(folder: Path) -> Path | None:
    """Write questions.jsonl out of all shards, once every question of the plan is there; None before that."""
    header, entries = read(folder)
    if len(entries) < header["task"]["count"]:
        return None
    target = folder / "questions.jsonl"
    write(target, header, entries)
    return target


def write(path: Path, header: dict[str, Any], entries: Sequence[Entry]) -> None:
    """Write a whole file of results, in place of what it held.

    Args:
        path: where to.
        header: of the run.
        entries: its questions, in order.
    """
    path.write_text("".join(dump(line) + "\n" for line in (header, *entries)), encoding="utf-8")


def read_json(path: Path) -> Any | None:
    """Read a JSON file; None if there is none. Raises GlimpseError for one that cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise GlimpseError(f"{path} cannot be read ({error}). Expected a JSON file: make it again.") from error
