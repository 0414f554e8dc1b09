"""What pyproject.toml promises: ranges that hold the tested pins, and a requirement for every import."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glimpse_core import __version__

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
# File of pins -> the extras whose packages it pins; None stands for the requirements of the package itself.
PINNED_BY = {
    "requirements.txt": (None,),
    "requirements-dev.txt": ("dev", "train"),
    "requirements-docs.txt": ("docs",),
    "requirements-gpu.txt": ("gpu", "flash-attn"),
}
UNPINNED = {"mcp", "serve", "eval"}  # packages pinned already, and one that does not go with the pins
OPTIONAL_MODULES = {"lmms_eval": "lmms-eval", "mcp": "gradio"}  # imported where installed; `gradio[mcp]` brings mcp
PROVIDED_BY_THE_PLATFORM = {"spaces"}  # ZeroGPU
FOR_OTHER_PYTHONS = {"audioop-lts"}  # not installed with every version of Python
CUDA = ("nvidia-", "cuda-", "triton")  # come with some builds of torch
OWN = {"glimpse_core", "tests", "app", "docs"}


def pins(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The versions that a file pins, by canonical name: those asked for, and those that come along."""
    text = (ROOT / name).read_text(encoding="utf-8")
    direct, _, along = text.partition("# Brought along by the above")
    return _versions(direct), _versions(along.partition("\n")[2])


def everything(name: str) -> dict[str, str]:
    """All versions that a file pins, those of the files that it includes among them."""
    found = pins(name)[0] | pins(name)[1]
    for file in re.findall(r"^-r (\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE):
        found |= everything(file)
    return found


def _versions(text: str) -> dict[str, str]:
    lines = [line.partition(";")[0].strip() for line in text.splitlines() if not line.startswith(("#", "-r"))]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def ranges(extras: Iterable[str | None]) -> dict[str, Requirement]:
    """Requirements by canonical name, without those that only point to another extra of this package."""
    lines = [line for extra in extras for line in (PROJECT["dependencies"] if extra is None else EXTRAS[extra])]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one for one in found if canonicalize_name(one.name) != PROJECT["name"]}


@pytest.mark.parametrize("name", PINNED_BY)
def test_every_pin_is_inside_its_range_and_both_lists_name_the_same_packages(name: str) -> None:
    tested, allowed = pins(name)[0], ranges(PINNED_BY[name])
    assert set(tested) == set(allowed), f"{name} and pyproject.toml differ in {set(tested) ^ set(allowed)}"
    outside = {package: pin for package, pin in tested.items() if not allowed[package].specifier.contains(pin)}
    assert not outside, f"{name} pins versions that pyproject.toml excludes: {outside}"


def test_every_extra_is_pinned_or_said_not_to_be() -> None:
    assert {extra for extras in PINNED_BY.values() for extra in extras if extra} | UNPINNED == set(EXTRAS)
    base = everything("requirements.txt")
    for name, requirement in ranges(["mcp", "serve"]).items():
        assert requirement.specifier.contains(base[name]), requirement


def test_every_range_has_both_ends() -> None:
    for name, requirement in ranges([None, *EXTRAS]).items():
        operators = {part.operator for part in requirement.specifier}
        assert operators == {">=", "<"}, f"{name}: {requirement.specifier}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-docs.txt", "requirements-dev.txt"])
def test_what_comes_along_is_pinned_too(name: str) -> None:
    pinned = everything(name)
    for package in set(pinned) - FOR_OTHER_PYTHONS:
        needed = [one for one in map(Requirement, metadata.requires(package) or []) if _applies(one.marker)]
        missing = {canonicalize_name(one.name) for one in needed} - set(pinned)
        assert not {one for one in missing if not one.startswith(CUDA)}, f"{package} brings along {missing}"


def _applies(marker: Marker | None) -> bool:
    return marker is None or marker.evaluate({"extra": ""})


def test_every_import_of_the_package_has_its_requirement() -> None:
    allowed = ranges([None, *set(EXTRAS) - {"dev"}])
    unmet = _unmet([*(ROOT / "glimpse_core").rglob("*.py"), ROOT / "app.py"], set(allowed))
    assert not unmet, f"imported, and in no requirement of pyproject.toml: {unmet}"


def test_every_import_of_the_tests_is_pinned() -> None:
    pinned = {package for name in PINNED_BY for part in pins(name) for package in part}
    assert not _unmet((ROOT / "tests").rglob("*.py"), pinned)


def _unmet(files: Iterable[Path], allowed: set[str]) -> set[str]:
    """Modules of other packages that the files import and that none of the allowed packages has."""
    modules = {module for path in files for module in _imports(path)} - set(sys.stdlib_module_names)
    assert {"torch", "numpy"} <= modules
    known = metadata.packages_distributions()
    unmet = set()
    for module in modules - OWN - PROVIDED_BY_THE_PLATFORM:
        packages = [OPTIONAL_MODULES[module]] if module in OPTIONAL_MODULES else known.get(module, [module])
        if not {canonicalize_name(package) for package in packages} & allowed:
            unmet.add(module)
    return unmet


def _imports(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_version_is_written_once_and_repeated_correctly() -> None:
    assert "version" in PROJECT["dynamic"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "glimpse_core/storage/versions.py"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" and __version__ in headings
