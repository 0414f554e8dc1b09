"""The Markdown files of the repository, and what is in them: code blocks, inline code, prose."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "spaces_readme.md")),
    *(ROOT / "assets" / name for name in ("NOTICE.md", "demo/TRAINING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def name(path: Path) -> str:
    """The path as people write it, for test ids."""
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of one language, in order."""
    return [code for found, code in FENCE.findall(text) if found == language]


def inline(text: str) -> list[str]:
    """All inline code outside of fenced blocks."""
    return INLINE.findall(FENCE.sub("", text))


def prose(text: str) -> str:
    """The text without fenced blocks and inline code."""
    return INLINE.sub("", FENCE.sub("", text))


def commands(text: str) -> list[list[str]]:
    """The command lines of all bash blocks, each as a list of arguments. Comments and line ends are taken out."""
    lines = "\n".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
