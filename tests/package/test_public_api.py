"""The public names of `glimpse_core`: small, documented, and loaded only when they are used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import glimpse_core

HEAVY = ("torch", "transformers", "gradio", "PIL", "numpy", "matplotlib", "huggingface_hub")
SOURCE = Path(glimpse_core.__file__)


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, glimpse_core; dir(glimpse_core); print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.parametrize("name", ["GlimpseError", "Selection", "Sampling", "__version__"])
def test_plain_values_load_nothing_heavy(name: str) -> None:
    code = f"import sys; from glimpse_core import {name}; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]"


def test_every_name_is_there_and_documented() -> None:
    for name in glimpse_core.__all__:
        value = getattr(glimpse_core, name)
        assert name in dir(glimpse_core)
        if name != "__version__":
            assert len(inspect.getdoc(value) or "") > 30, f"{name} has no docstring"
    assert glimpse_core.load is glimpse_core.catalog.load


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING, the lazy table and __all__ say the same."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not re-exported: write `{alias.name} as {alias.name}`"
            seen[alias.name] = f"{node.module}:{alias.name}"
    modules = {name: place.partition(":")[::2] for name, place in seen.items()}
    for name, place in glimpse_core._LAZY.items():
        module, _, attribute = place.partition(":")
        assert modules.pop(name) == ((module, attribute) if attribute else tuple(place.rsplit(".", 1))), name
    assert not modules
    assert sorted(glimpse_core.__all__) == sorted([*glimpse_core._LAZY, "__version__"])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'glimpse_core' has no attribute 'lod'"):
        _ = glimpse_core.lod
    with pytest.raises(ImportError, match="cannot import name 'lod'"):
        from glimpse_core import lod  # noqa: F401


@pytest.mark.parametrize("name", ["catalog", "pruners", "load"])
def test_a_name_is_imported_when_it_is_first_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older spelling `from glimpse_core import catalog, pruners` too. Here the name is as if never used."""
    from glimpse_core import models
    from glimpse_core import pruners as rules

    for used in ("catalog", "pruners", "load"):
        monkeypatch.delitem(vars(glimpse_core), used, raising=False)
    expected = {"catalog": models.catalog, "pruners": rules, "load": models.catalog.load}
    assert getattr(glimpse_core, name) is expected[name] and vars(glimpse_core)[name] is expected[name]


def test_the_example_of_the_docstring_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its indented lines, with a bundled image and a question whose answer is stored."""
    from glimpse_core.ui.examples import load_examples

    example = load_examples()[0]
    question, truth = example.questions[0]
    lines = [line[4:] for line in (glimpse_core.__doc__ or "").splitlines() if line.startswith("    ")]
    code = "\n".join(lines).replace("scene.webp", str(example.path)).replace("What color is the chair?", question)
    assert code.count("session.answer(") == 2
    exec(compile(code, "docstring", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [truth, truth]
