"""Where model files come from: a local folder, or the Hub and its cache; and what to say when they do not come.

A place is a path, or a Hub name `owner/model`, with `@revision` (branch, tag or commit) behind it if wanted. What the
cache holds completely is used as it is, without asking the Hub, so that a loaded model keeps loading without a
network. This file does not know what is in the files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from huggingface_hub.utils import tqdm as hub_bar
from safetensors import SafetensorError, safe_open

from glimpse_core.errors import GlimpseError

Progress = Callable[[str], None]
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
# Everything that a base model folder may need; other frameworks' weights and pictures stay on the Hub.
BASE_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")


def is_local(place: str | Path) -> bool:
    """An existing path, or something that cannot be a Hub name (owner/model)."""
    text = str(place)
    return Path(text).expanduser().exists() or not _HUB_NAME.fullmatch(text) or text.startswith((".", "/", "~"))


def cached(place: str, needed: Sequence[str] = ("config.json",)) -> Path | None:
    """The local folder of a place, without any download; None if something needed is missing there.

    needed: glob patterns, "a|b" where either will do. Weights in several parts must all be there.
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
    """The local folder of a place; a Hub name is downloaded if the cache lacks something.

    what: how messages call it ("base model"). files: glob patterns to download. needed: patterns that make a cached
    folder complete. progress: called with the progress in words, besides the bars on stderr. Raises `GlimpseError`.
    """
    if is_local(place):
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise GlimpseError(
                f"{place}, given for the {what}, does not exist: give a folder, or a Hub name like owner/model"
            )
        return folder
    found = cached(place, ["config.json", *needed])
    if found is not None:
        return found
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
    except (HTTPError, HFValidationError, OSError) as error:
        raise GlimpseError(f"the {what} {place} cannot be fetched from the Hub: {explained(error, place)}") from error
    finally:
        if hidden:
            disable_progress_bars()


def weight_files(folder: Path) -> list[Path]:
    """The files with a model's tensors, safetensors before anything else. Raises `GlimpseError` if one is missing."""
    files, missing = _weights(folder), _missing_parts(folder)
    if missing:
        raise GlimpseError(f"{folder} lacks {', '.join(missing)}, which its index names: fetch it again")
    if not files:
        raise GlimpseError(f"{folder} holds no weights ({' or '.join(WEIGHT_FILES)}): give one that has them")
    return files


def _weights(folder: Path) -> list[Path]:
    found = [sorted(folder.glob(pattern)) for pattern in WEIGHT_FILES]
    return next((files for files in found if files), [])


def _missing_parts(folder: Path) -> list[str]:
    """Names of weight files that the index beside them names and that are not there."""
    files = _weights(folder)
    named: set[str] = set()
    for index in folder.glob(f"*{files[0].suffix}.index.json" if files else "*.index.json"):
        named |= set(json.loads(index.read_text())["weight_map"].values())
    return sorted(named - {path.name for path in files})


def parameters(folder: Path, dtype_size: int = 2) -> int | None:
    """How many numbers the weights in a folder hold; None without weights. dtype_size: bytes of each in a .bin file."""
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
            return None  # damaged: whoever loads it says so
    return total


def explained(error: Exception, place: str) -> str:
    """What went wrong, and the remedy, for an exception of huggingface_hub."""
    name, _, revision = place.partition("@")
    page = f"{constants.ENDPOINT}/{name}"
    for kind, text in (
        (GatedRepoError, f"it is gated. Accept its terms on {page}, then log in with `hf auth login` or set HF_TOKEN"),
        (
            RepositoryNotFoundError,
            "there is no such repository, or it is private. Check the spelling; for a private one log in with "
            "`hf auth login` or set HF_TOKEN",
        ),
        (RevisionNotFoundError, f"it has no revision {revision!r}. Give a branch, tag or commit listed on {page}"),
        (HFValidationError, "this is not a Hub name. Names look like owner/model or owner/model@revision"),
        (
            IncompleteSnapshotError,
            "an earlier download was interrupted, and the Hub cannot be reached now. Connect and run it again; it goes "
            "on where it stopped",
        ),
    ):
        if isinstance(error, kind):
            return text
    if isinstance(error, LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return (
                "it is not in the cache, and offline mode is on. Unset HF_HUB_OFFLINE for the first download, or give "
                "the folder of a copy"
            )
        return (
            "it is not in the cache, and the Hub cannot be reached. Check the connection (or HF_ENDPOINT), or give the "
            "folder of a copy"
        )
    if isinstance(error, HfHubHTTPError):
        return f"the Hub answered {first_line(error)}. Try again later"
    if isinstance(error, HTTPError):
        return f"the connection failed ({first_line(error)}). Check it, and HTTPS_PROXY if there is a proxy"
    if getattr(error, "errno", None) == 28:
        return f"the disk of {constants.HF_HUB_CACHE} is full. Make room, or set HF_HOME to a larger disk"
    return f"{first_line(error)}. Make sure that {constants.HF_HUB_CACHE} can be written, or set HF_HOME"


def first_line(error: Exception) -> str:
    """The first line of what an exception says, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _reporting(name: str, progress: Progress) -> type[hub_bar]:
    """A progress bar that also speaks, at most once per percent."""

    class Bar(hub_bar):
        said = -1

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.speaks, self.done = kwargs.get("unit") == "B", kwargs.get("initial") or 0

        def update(self, n: float | None = 1) -> None:
            super().update(n)
            self.done += n or 0
            percent = int(100 * self.done / self.total) if self.total else 0
            if self.speaks and percent > self.said:
                self.said = percent
                progress(f"downloading {name}: {percent}% of {self.total / 1e9:.1f} GB")

    return Bar
