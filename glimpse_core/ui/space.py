"""The Hugging Face Space as a folder: front matter checked against what the Hub accepts, requirements, app, assets.

Knows the Space configuration reference and this repository's files; it uploads nothing. What the folder needs at run
time is in it; on ZeroGPU the released models come from the Hub as well.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from glimpse_core.errors import GlimpseError

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app.py", "LICENSE", "glimpse_core", "assets/NOTICE.md", "assets/demo", "assets/examples")
READ = ("requirements.txt", "spaces_config.yaml", "spaces_readme.md")
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi", ".*")

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
HARDWARE = (
    "cpu-basic", "cpu-upgrade", "t4-small", "t4-medium", "l4x1", "l4x4", "l40sx1", "l40sx4", "l40sx8", "a10g-small",
    "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large", "a100x4", "a100x8", "zero-a10g", "rtx-pro-6000",
    "rtx-pro-6000x2", "rtx-pro-6000x4", "rtx-pro-6000x8",
)  # fmt: skip
ZERO_PYTHON = ("3.12.12", "3.10.13")
ZERO_TORCH = "2.11.0"  # the newest one that ZeroGPU runs
REPO = re.compile(r"[\w.-]+/[\w.-]+")
PRELOAD = re.compile(r"[\w.-]+/[\w.-]+( [\w.,/*-]+( [0-9a-f]{40})?)?")


def _one_of(*values: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in values else f"one of {', '.join(values)}"


def _text(limit: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        good = isinstance(value, str) and 0 < len(value) <= limit and "\n" not in value
        return None if good else f"one line of 1 to {limit} characters, in quotes where YAML would read a number"

    return check


def _like(pattern: str, expected: str) -> Callable[[Any], str | None]:
    return lambda value: None if isinstance(value, str) and re.fullmatch(pattern, value) else expected


def _list_of(pattern: re.Pattern[str], items: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        good = (
            isinstance(value, list)
            and value
            and all(isinstance(item, str) and pattern.fullmatch(item) for item in value)
        )
        return None if good else f"a list of {items}"

    return check


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


# Every key that a Gradio Space may have, with its check: it returns None for a good value, else what is expected.
KEYS: Mapping[str, Callable[[Any], str | None]] = {
    "title": _text(100),
    "emoji": _text(8),
    "colorFrom": _one_of(*COLORS),
    "colorTo": _one_of(*COLORS),
    "sdk": _one_of("gradio"),
    "sdk_version": _like(r"\d+\.\d+\.\d+", "a version such as 6.31.0"),
    "python_version": _like(r"3\.\d+(\.\d+)?", 'a version such as "3.12.12", in quotes'),
    "app_file": _like(r"[\w./-]+\.py", "a Python file of the folder"),
    "base_path": _like(r"/[\w./-]*", "a path that begins with /"),
    "short_description": _text(60),
    "license": _like(r"[a-z0-9.-]+", "a license identifier of the Hub"),
    "suggested_hardware": _one_of(*HARDWARE),
    "models": _list_of(REPO, "OWNER/NAME"),
    "datasets": _list_of(REPO, "OWNER/NAME"),
    "tags": _list_of(re.compile(r"[a-z0-9][a-z0-9.-]*"), "tags in lower case"),
    "thumbnail": _like(r"https://\S+", "an https address"),
    "fullWidth": _flag,
    "header": _one_of("mini", "default"),
    "startup_duration_timeout": _like(r"\d+(\.\d+)?[mh]", "a time such as 30m or 1h"),
    "preload_from_hub": _list_of(PRELOAD, "OWNER/NAME [FILES [COMMIT]]"),
    "disable_embedding": _flag,
    "pinned": _flag,
}
NEEDED = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file")


def check(settings: Any, gradio: str, root: Path = ROOT) -> dict[str, Any]:
    """Return the settings if the Hub accepts them and they agree with this repository.

    Args:
        settings: what spaces_config.yaml holds.
        gradio: the version that this repository runs on.
        root: folder of the clone.

    Raises:
        GlimpseError: names the first setting that is unknown or missing, has a value that the Hub does not accept, or
            contradicts the repository.
    """
    if not isinstance(settings, dict):
        raise GlimpseError(f"spaces_config.yaml holds a {type(settings).__name__}. Expected a mapping of settings.")
    for name, value in settings.items():
        if name not in KEYS:
            raise GlimpseError(f"{name} is no setting of a Gradio Space. Expected one of {', '.join(KEYS)}: remove it.")
        if expected := KEYS[name](value):
            raise GlimpseError(f"{name} is {value!r}. Expected {expected}.")
    if missing := [name for name in NEEDED if name not in settings]:
        raise GlimpseError(f"The Space's configuration lacks {', '.join(missing)}: add them to spaces_config.yaml.")
    if settings["sdk_version"] != gradio:
        raise GlimpseError(
            f"sdk_version is {settings['sdk_version']}. Expected {gradio}, the gradio of requirements.txt."
        )
    if not (root / settings["app_file"]).is_file() or settings["app_file"] not in COPIED:
        raise GlimpseError(f"app_file is {settings['app_file']}. Expected a file of the Space, such as app.py.")
    zero = str(settings.get("suggested_hardware", "")).startswith("zero")
    if zero and settings["python_version"] not in ZERO_PYTHON:
        versions = " or ".join(ZERO_PYTHON)
        raise GlimpseError(f"python_version is {settings['python_version']}. Expected {versions}, which ZeroGPU runs.")
    return settings


def requirements(text: str) -> str:
    """Return the Space's requirements.txt, made of the repository's.

    Only direct requirements are pinned: `gradio[mcp]` needs an older pydantic than the repository's full list has, and
    ZeroGPU an older torch.
    """
    direct = text.partition("# Brought along")[0]
    pins = dict(line.split("==") for line in direct.splitlines() if "==" in line and not line.startswith("#"))
    gradio, _ = pins.pop("gradio"), pins.pop("torch")
    lines = [
        f"gradio[mcp]=={gradio}",
        "spaces",
        f"torch=={ZERO_TORCH}",
        *(f"{name}=={pin}" for name, pin in pins.items()),
    ]
    return "# Written by `make space`.\n" + "\n".join(lines) + "\n"


def gradio_version(text: str) -> str:
    """Return the version of gradio that a requirements file pins. Raises GlimpseError if it pins none."""
    found = re.search(r"^gradio==(\S+)$", text, re.MULTILINE)
    if not found:
        raise GlimpseError("requirements.txt pins no gradio: add a line such as gradio==6.31.0.")
    return found[1]


def build(out: Path, root: Path = ROOT) -> Path:
    """Write the Space's folder and return it. Its files are replaced; anything else there, such as .git, stays.

    Args:
        out: folder to write, made if missing.
        root: folder of the clone that the Space is made of.

    Raises:
        GlimpseError: `root` is no clone, a setting is refused, or a file cannot be written.
    """
    if missing := [name for name in (*COPIED, *READ) if not (root / name).exists()]:
        raise GlimpseError(
            f"{root} lacks {', '.join(missing)}. Expected a clone of this repository, since an installed package does "
            "not hold all of a Space: run this command in a clone."
        )
    pinned, config, page = ((root / name).read_text(encoding="utf-8") for name in READ)
    try:
        settings = check(yaml.safe_load(config), gradio_version(pinned), root)
    except yaml.YAMLError as error:
        raise GlimpseError(f"spaces_config.yaml is not YAML: {error}") from None
    front = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=1000)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            _copy(root / name, out / name)
        (out / "README.md").write_text(f"---\n{front}---\n\n{page}", encoding="utf-8")
        (out / "requirements.txt").write_text(requirements(pinned), encoding="utf-8")
        (out / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
    except OSError as error:
        raise GlimpseError(f"{out} cannot be written: {error}. Choose another folder with --out.") from None
    return out


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=IGNORED)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
