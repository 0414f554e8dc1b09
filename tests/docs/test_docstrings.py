"""Docstrings name only parameters that there are. One line may explain several: `dtype, device: ...`."""

from __future__ import annotations

from collections.abc import Iterator

import griffe
import pytest

from tests.support.documents import ROOT


def unknown(function: griffe.Function) -> list[str]:
    """Parameters in the docstring that the signature does not have."""
    if function.docstring is None:
        return []
    signature = {parameter.name for parameter in function.parameters}
    sections = function.docstring.parse("google", warn_unknown_params=False, warn_missing_types=False, warnings=False)
    named = [
        name.strip(" *")
        for section in sections
        if section.kind is griffe.DocstringSectionKind.parameters
        for parameter in section.value
        for name in parameter.name.split(",")
    ]
    return [name for name in named if name not in signature]


def functions(owner: griffe.Module | griffe.Class) -> Iterator[griffe.Function]:
    for member in owner.members.values():
        if member.is_alias:
            continue
        if isinstance(member, griffe.Function):
            yield member
        elif isinstance(member, griffe.Module | griffe.Class):
            yield from functions(member)


def test_parameters_in_docstrings_exist():
    package = griffe.load("glimpse_core", search_paths=[ROOT], allow_inspection=False)
    found = list(functions(package))
    assert len(found) > 500 and any(one.docstring for one in found)
    assert {one.path: names for one in found if (names := unknown(one))} == {}


@pytest.mark.parametrize(("line", "names"), [("a, b: both", []), ("c: gone", ["c"]), ("a, c: one gone", ["c"])])
def test_a_parameter_that_is_gone_is_noticed(line, names):
    code = f'def f(a, b):\n    """One.\n\n    Args:\n        {line}\n    """\n'
    with griffe.temporary_visited_module(code) as module:
        assert unknown(module["f"]) == names
