"""Code in the documentation: Python compiles and its imports exist, command lines parse, names and paths are real."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache

import pytest

import app
import glimpse_core
from docs.tables import REGION
from glimpse_core import types
from glimpse_core.__main__ import COMMANDS, parser_for
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.inference.session import Session
from glimpse_core.pruners import Card
from glimpse_core.ui.api import ANSWERED, Api
from glimpse_core.ui.endpoint import endpoint
from tests.support.documents import DOCUMENTS, ROOT, blocks, commands, inline, name, prose, read

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name)
MAKEFILE = read(ROOT / "Makefile")
OTHERS_FLAGS = {"--no-build-isolation", "--num_processes", "--only"}  # of pip, accelerate and make screenshots


# ------------------------------------------------------------------------------------------------ Python


def python_blocks() -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for number, code in enumerate(blocks(read(path), "python")):
            yield f"{name(path)}-{number}", code


PYTHON = dict(python_blocks())


@pytest.mark.parametrize("block", PYTHON)
def test_python_compiles_and_its_imports_exist(block):
    tree = ast.parse(PYTHON[block])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                resolve(f"{node.module}.{alias.name}")
        elif re.fullmatch(r"glimpse_core(\.\w+)+", ast.unparse(node)):
            resolve(ast.unparse(node))


def test_calls_of_the_page_name_parameters_that_it_has():
    calls = [
        call
        for code in PYTHON.values()
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.Call) and any(keyword.arg == "api_name" for keyword in call.keywords)
    ]
    assert len(calls) >= 2
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        function = getattr(Api, ast.literal_eval(given.pop("api_name")).strip("/"))
        assert given.keys() <= inspect.signature(endpoint(function, ANSWERED)).parameters.keys()


def test_parameters_of_the_page_are_explained():
    text = read(ROOT / "docs" / "api-and-mcp.md").split("## Parameters")[1]
    for function in (Api.ask, Api.score, Api.overlay):
        taken = inspect.signature(endpoint(function, ANSWERED)).parameters
        assert [name for name in taken if name != "self" and f"`{name}`" not in text] == []


def resolve(dotted: str) -> object:
    """The module, class, function or constant of a dotted name. Raises ImportError or AttributeError."""
    parts = dotted.split(".")
    found, used = importlib.import_module(parts[0]), 1
    for part in parts[1:]:
        if inspect.ismodule(found) and not hasattr(found, part):
            importlib.import_module(".".join(parts[: used + 1]))
        found, used = getattr(found, part), used + 1
    return found


def test_resolve_refuses_what_is_not_there():
    assert resolve("glimpse_core.types.Prefix") is types.Prefix
    for wrong in ("glimpse_core.types.Prefox", "glimpse_core.tapes", "glimpse_core.types.Prefix.depht"):
        with pytest.raises((AttributeError, ImportError)):
            resolve(wrong)


# ------------------------------------------------------------------------------------------------ command lines


@each_document
def test_command_lines_parse(path):
    for words in commands(read(path)):
        check(words)


@pytest.mark.parametrize(
    "wrong",
    [
        "glimpse ask photo.jpg -q Why? --treshold 0.4",
        "python -m glimpse_core evaluate --match everything",
        "python -m glimpse_core train glimpse --out runs/x --layers 3",
        "python -m glimpse_core nothing",
        "python -m tests.gpu.nothing",
        "python app.py --color red",
        "make nothing",
        "make demo COLOR=red",
        'pip install "gradio[mcp]==1.0.0"',
        "pytest tests/nothing.py",
        "curl example.org",
    ],
)
def test_a_wrong_command_line_is_noticed(wrong):
    words = commands(f"```bash\n{wrong}\n```")[0]
    with pytest.raises((AssertionError, SystemExit)):
        check(words)


def check(words: list[str]) -> None:
    """Fail for a command line that does not exist here."""
    words = ["python" if word == ".venv/bin/python" else word for word in words]
    if words[:2] == ["accelerate", "launch"]:
        words = ["python", *words[words.index("-m") :]]
    match words:
        case ["glimpse", *rest] | ["python", "-m", "glimpse_core", *rest]:
            assert rest and rest[0] in COMMANDS
            with contextlib.suppress(HelpPrinted):
                parse(rest)
        case ["python", "app.py", *rest]:
            assert {word for word in rest if word.startswith("--")} <= app_flags()
        case ["python", "-m", "pip", "install", *rest] | ["pip", "install", *rest]:
            for requirement in rest:
                assert requirement in OTHERS_FLAGS | {"-r", "."} or installable(requirement), requirement
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case ["pytest", *rest]:
            assert all(word.startswith("-") or (ROOT / word).exists() for word in rest)
        case ["make", target, *given]:
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
            assert all(re.search(rf"^{one.split('=')[0]} \?=", MAKEFILE, re.MULTILINE) for one in given)
        case _:
            raise AssertionError(f"no rule for this command: {' '.join(words)}")


class HelpPrinted(Exception):
    """`--help` was given, and there is one."""


def parse(argv: list[str]) -> None:
    try:
        parser_for(argv[0]).parse_args(argv)
    except SystemExit as stopped:
        if stopped.code == 0:
            raise HelpPrinted from None
        raise


def installable(requirement: str) -> bool:
    """A file of requirements, or a package at the version that is pinned here."""
    if (ROOT / requirement).is_file():
        return True
    package, _, version = re.sub(r"\[.*?\]", "", requirement).partition("==")
    pins = "".join(read(path) for path in ROOT.glob("requirements*.txt"))
    return f"{package}=={version}\n" in pins


@cache
def app_flags() -> set[str]:
    """The options of `python app.py`, as its help prints them."""
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "_print_message", lambda self, text, file=None: printed.append(text))
        with pytest.raises(SystemExit):
            app.main(["--help"])
    return set(re.findall(r"--[\w-]+", "".join(printed)))


@cache
def all_flags() -> set[str]:
    """The options of all commands."""

    def options(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    yield from options(inner)

    return {flag for command in COMMANDS for flag in options(parser_for(command))} | app_flags() | OTHERS_FLAGS


@each_document
def test_flags_in_sentences_exist(path):
    """Also flags without a command line around them."""
    named = {flag for code in inline(read(path)) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)}
    assert named <= all_flags()
    written = prose(re.sub(r"<!--.*?-->", "", REGION.sub("", read(path))))
    assert not re.findall(r"(?<![\w`-])--[a-z]", written), "a flag is code"


# ------------------------------------------------------------------------------------------------ names and paths

FOLDERS = ("glimpse_core", "tests", "assets", "docs")
FILES = ("requirements", "spaces_", "app.py", "pyproject.toml", "Makefile", "README.md")
CLASSES = {one.__name__: one for one in (Session, Card, GlimpseModel)} | vars(types)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name)
def test_names_and_paths_exist(path):
    """Not in the changelog, which names what is gone."""
    for code in inline(read(path)):
        if re.fullmatch(r"glimpse_core(\.\w+)+", code):
            resolve(code)
        elif re.fullmatch(r"[A-Z]\w+\.\w+", code) and code.split(".")[0] in CLASSES:
            owner, field = code.split(".")
            assert (
                field in {one.name for one in fields(CLASSES[owner])}
                if hasattr(CLASSES[owner], "__dataclass_fields__")
                else hasattr(CLASSES[owner], field)
            )
        elif (code.split("/")[0] in FOLDERS and "/" in code) or (code.startswith(FILES) and " " not in code):
            assert "NAME" in code or (ROOT / code).exists(), code


def test_the_prefix_is_explained_with_its_fields():
    (block,) = [code for code in PYTHON.values() if code.startswith("Prefix(")]
    call = ast.parse(block).body[0].value
    names = [field.name for field in fields(types.Prefix)]
    assert [ast.unparse(argument) for argument in call.args] == names[: len(call.args)]


def test_the_public_names_are_explained():
    text = read(ROOT / "docs" / "reference" / "index.md")
    public = [one for one in glimpse_core.__all__ if not one.startswith("__")]
    assert len(public) >= 5 and all(f"| `{one}` |" in text for one in public)


def test_labels_on_the_page_are_those_of_the_page():
    """Bold text in docs/page.md is what a visitor reads."""
    places = (ROOT / "glimpse_core" / "ui", ROOT / "glimpse_core" / "glimpse" / "settings")
    files = [path for place in places for kind in ("*.py", "*.js") for path in sorted(place.rglob(kind))]
    sources = "\n".join(map(read, files)).lower()
    labels = set(re.findall(r"\*\*(.+?)\*\*", read(ROOT / "docs" / "page.md")))
    assert len(labels) > 10
    assert [label for label in sorted(labels) if f'"{label.lower()}' not in sources] == []


def test_every_document_is_looked_at():
    shipped = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "assets").glob("*.md")}
    assert shipped <= set(DOCUMENTS)


def test_the_extras_are_explained():
    text = read(ROOT / "docs" / "index.md").split("| extra | adds |")[1].split("\n\n")[0]
    extras = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r"^\| `([\w-]+)`", text, re.MULTILINE)) == set(extras)
