"""Find model files: in a local folder, or on the Hub and in its cache.

A place is a path, or a Hub name `owner/model`, optionally followed by `@revision` (branch, tag or commit). What the
cache holds completely is used without asking the Hub, so a model that was loaded once loads without a network. This
module does not know what is in the files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from huggingface_hub.utils.tqdm import tqdm as hub_bar
from safetensors import SafetensorError, safe_open

from glimpse_core.errors import GlimpseError
from glimpse_core.storage.hub_errors import explained

Progress = Callable[[str], None]
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
# Everything that a base model folder may need; other frameworks' weights and images stay on the Hub.
BASE_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")


def is_local(place: str | Path) -> bool:
    """Whether a place is an existing path, or cannot be a Hub name (owner/model)."""
    text = str(place)
    return Path(text).expanduser().exists() or not _HUB_NAME.fullmatch(text) or text.startswith((".", "/", "~"))


def cached(place: str, needed: Sequence[str] = ("config.json",)) -> Path | None:
    """Return the local folder of a place without a download.

    Args:
        place: a path or a Hub name.
        needed: glob patterns of required files; "a|b" requires one of the two. Of weights in several parts, all are
            required.

    Returns:
        The folder, or None if a required file is missing.
    """
    choices = [pattern.split("|") for pattern in needed]
    if is_local(place):
        folder = Path(place).expanduser()
    else:
        name, _, revision = place.partition("@")
        patterns = ["config.json", *(choice[0] for choice in choices if len(choice) == 1)]
        try:
            folder = Path(
                snapshot_download(name, revision=revision or None, allow_patterns=patterns, local_files_only=True)
            )
        except (LocalEntryNotFoundError, HFValidationError, OSError):
            return None
    found = all(any(any(folder.glob(pattern)) for pattern in choice) for choice in choices)
    return folder if found and not (set(sum(choices, [])) & set(WEIGHT_FILES) and _missing_parts(folder)) else None


def fetch(
    place: str,
    what: str,
    files: Sequence[str] = BASE_FILES,
    needed: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Return the local folder of a place; a Hub name is downloaded if the cache lacks something.

    Args:
        place: a path or a Hub name.
        what: name of the files in messages, such as "base model".
        files: glob patterns of the files to download.
        needed: glob patterns of the files that make a cached folder complete, as for `cached`.
        progress: called with the progress as a sentence, in addition to the progress bars on stderr.

    Raises:
        GlimpseError: if the folder does not exist, or the download fails.
    """
    if is_local(place):
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise GlimpseError(
                f"{place}, given for the {what}, does not exist. Expected a folder, or a Hub name such as "
                "owner/model: give one."
            )
        return folder
    found = cached(place, ["config.json", *needed])
    if found is not None:
        return found
    try:
        return _download(place, files, progress)
    except (HTTPError, HFValidationError, OSError) as error:
        raise GlimpseError(f"The {what} {place} cannot be fetched from the Hub: {explained(error, place)}.") from error


def _download(place: str, files: Sequence[str], progress: Progress | None) -> Path:
    name, _, revision = place.partition("@")
    hidden = are_progress_bars_disabled()
    try:
        enable_progress_bars()  # a download of gigabytes must not be silent, even where loading bars are off
        return Path(
            snapshot_download(
                name,
                revision=revision or None,
                allow_patterns=list(files),
                tqdm_class=progress and _reporting(name, progress),
            )
        )
    finally:
        if hidden:
            disable_progress_bars()


def weight_files(folder: Path) -> list[Path]:
    """Return the files with a model's tensors: safetensors files if there are any, else .bin files.

    Raises:
        GlimpseError: if there is none, or one that the index names is missing.
    """
    files, missing = _weights(folder), _missing_parts(folder)
    if missing:
        raise GlimpseError(
            f"{folder} lacks {', '.join(missing)}, which its index names. Expected all parts: fetch the folder again."
        )
    if not files:
        raise GlimpseError(f"{folder} holds no weights. Expected {' or '.join(WEIGHT_FILES)}: give another folder.")
    return files


def _weights(folder: Path) -> list[Path]:
    found = [sorted(folder.glob(pattern)) for pattern in WEIGHT_FILES]
    return next((files for files in found if files), [])


def _missing_parts(folder: Path) -> list[str]:
    """Return the names of weight files that the index beside them names and that do not exist."""
    files = _weights(folder)
    named: set[str] = set()
    for index in folder.glob(f"*{files[0].suffix}.index.json" if files else "*.index.json"):
        named |= set(json.loads(index.read_text())["weight_map"].values())
    return sorted(named - {path.name for path in files})


def parameters(folder: Path, dtype_size: int = 2) -> int | None:
    """Return the number of parameters of the weights in a folder; None without weights.

    Args:
        folder: a local folder.
        dtype_size: bytes per parameter in a .bin file, whose content is not read.
    """
    try:
        files = weight_files(folder)
    except GlimpseError:
        return None
    total = 0
    for path in files:
        if path.suffix != ".safetensors":
            total += path.stat().st_size // dtype_size
            continue
        try:
            with safe_open(path, framework="pt") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError):
            return None  # damaged: loading reports it
    return total


def _reporting(name: str, progress: Progress) -> type[hub_bar]:
    """Return a class of progress bars that also call `progress`, at most once per percent."""

    class Bar(hub_bar):
        reported = -1  # percent

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.counts_bytes, self.done = kwargs.get("unit") == "B", kwargs.get("initial") or 0

        def update(self, n: float | None = 1) -> None:
            super().update(n)
            self.done += n or 0
            percent = int(100 * self.done / self.total) if self.total else 0
            if self.counts_bytes and percent > self.reported:
                self.reported = percent
                progress(f"downloading {name}: {percent}% of {self.total / 1e9:.1f} GB")

    return Bar
