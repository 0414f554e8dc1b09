"""Shipped text uses the terms of the field: documents, messages, help, the page's texts, docstrings and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.tables import REGION
from tests.support.documents import DOCUMENTS, ROOT, name, prose, read

PLACED = "(?:the |a |any |its )?(?:last |first |that |this |one |every |each )?"
THINGS = "(?:layers?|drops?|tower|glimpse|merger|prefix|modules?|blocks?|question|pictures?|token|prompt)"
Words = dict[re.Pattern[str], str]  # what is not written, and what is written instead


def compiled(words: dict[str, str], flags: int = 0) -> Words:
    """Phrases may go over the end of a line, also within a comment."""
    return {re.compile(text.replace(" ", r"\s+(?:#\s+)?"), flags): instead for text, instead in words.items()}


PHRASES_WRITTEN = {
    r"\bwanted (?:was|were|a|an|one|some)\b|\bwanted:": "Expected ...",
    rf"\bbehind (?:{PLACED}{THINGS}\b|it\b|its\b|K\b|which\b|(?:a|the) colon\b)": "after",
    r"\b(?:every|other|which|these|those|between the|of the|inside a|in|are|leaf|each) rooms\b": "packages",
    r"\b(?:other|every|each|inside a|this) room\b": "package",
    r"\bspoken\b": "generated",
    r"\b(?:un)?heard\b": "read, used",
    r"\bspeaks?\b": "reports",
    r"\bword on (?:every|each|the)\b": "logits, scores",
    r"\blast word\b": "overrides",
    r"\bnobody\b": "no user, nothing",
    r"\bwhoever\b": "a caller who",
    r"\bcomes? by\b|\bcame by\b": "obtained",
    r"\bthat there (?:is|are) not\b": "that does not exist",
    r"\b(?:stands?|stood) in the way\b": "problem",
    r"\bso many\b": "number of, maximum number of",
    r"\bfor people\b|\bas people (?:read|write)\b|\bpeople said\b": "readable",
    r"\bdoors?\b": "entry point, interface",
    r"\bits kin\b": "similar models",
    r"\b's affair\b": "the responsibility of",
    r"\btakes? away\b|\btaking (?:it )?away\b|\btake-?away\b": "export",
    r"\btrials?\b": "comparison",
    r"\bteams?\b": "process group",
    r"\byardstick\b": "reference",
}
# Names in code, beside the phrases above.
NAMES_WRITTEN = {
    r"\bWish\b|\bwish(?:es)?\b|\bread_wish\b": "AskOptions, options",
    r"\bHand\b|\bread_hand\b|\bMAX_HAND\b|(?<!by\s)\bhand\b(?=\s*[=:),.])": "ManualEdits, edits",
    r"\btell\s*[=:(,)]": "progress",
    r"\bsaid\b": "message",
    r"\bplace\b\s*(?:[:=].*(?:device|cuda)|\.type\b)|\bplace, (?:number|dtype)\b": "device",
    r"\bnumber\b.*\bchoose_|\bnumber, place\b": "dtype",
    r"\bline\.place\b|\bflow\.line\b": "queue, ticket",
    r"\bsee\(": "encode_images",
    r"\bclass Wanted\b|\bWanted\(|: Wanted\b|\bwanted\(": "a name that says what is requested",
}
PHRASES, NAMES = compiled(PHRASES_WRITTEN, re.IGNORECASE), compiled(NAMES_WRITTEN)
DRAWN = ROOT / "glimpse_core" / "world"  # its images show teams, doors and "hand in"
CODE = [
    *(
        path
        for kind in ("py", "js", "html")
        for path in sorted((ROOT / "glimpse_core").rglob(f"*.{kind}"))
        if path.name != "bundle.js"
    ),  # made from the others
    *sorted((ROOT / "docs").glob("*.py")),
    *(
        ROOT / one
        for one in ("app.py", "Makefile", "pyproject.toml", "mkdocs.yml", "spaces_config.yaml", "CITATION.cff")
    ),
    *sorted(ROOT.glob(".github/**/*.yml")),
    ROOT / ".pre-commit-config.yaml",
    *sorted(ROOT.glob("requirements*.txt")),
]


def found(text: str, words: Words) -> Iterator[tuple[int, str, str]]:
    """Line, what is written there, and what to write, for each hit."""
    for pattern, instead in words.items():
        for hit in pattern.finditer(text):
            yield text.count("\n", 0, hit.start()) + 1, " ".join(hit[0].split()), instead


def report(path: Path, words: Words) -> list[str]:
    """What is found in a file. Generated tables are left out: what they say is searched where it comes from."""
    text = REGION.sub(lambda table: "\n" * table[0].count("\n"), read(path))
    if DRAWN in path.parents:
        words = {one: instead for one, instead in words.items() if not re.search("teams|doors|Hand", one.pattern)}
    hits = sorted(found(text, words))
    return [f"{name(path)}:{line}: {written!r}; write: {instead}" for line, written, instead in hits]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_documents(path):
    assert report(path, PHRASES) == []


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if "docs" in path.parts or path.name == "README.md"], ids=name
)
def test_documents_say_image(path):
    """Outside of code, quotations, labels of the page, and generated tables."""
    text = re.sub(r"\*\*[^*]*\*\*|\"[^\"]*\"", "", prose(REGION.sub("", read(path))))
    assert re.findall(r"\bpictures?\b", text, re.IGNORECASE) == []


def test_code():
    hits = [line for path in CODE for line in [*report(path, PHRASES), *report(path, NAMES)]]
    assert not hits, "\n" + "\n".join(hits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the view is 3; wanted was one of 1, 2", PHRASES),
        ("a long line that ends with wanted\n    # were numbers", PHRASES),
        ("tokens dropped behind layer 5", PHRASES),
        ("what is left behind the last drop", PHRASES),
        ("the values that travel between the rooms", PHRASES),
        ("the VIP's word on every visual token", PHRASES),
        ("Nothing stands in the way.", PHRASES),
        ("at most so many frames", PHRASES),
        ("a column that nobody sees", PHRASES),
        ("def load(tell=None)", NAMES),
        ("wish = read_wish(values)", NAMES),
        ("place = choose_device(name)", NAMES),
    ],
)
def test_each_of_these_is_found(text, words):
    assert list(found(text, words))


@pytest.mark.parametrize(
    "text", ["Make room, or set HF_HOME", "a scene in a room", "expected one of 1, 2", "the number of visual tokens"]
)
def test_ordinary_words_are_not_found(text):
    assert not list(found(text, PHRASES))
