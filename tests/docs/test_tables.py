"""Tables and figures of the documentation are what the files in `assets` say, and no result is typed by hand."""

from __future__ import annotations

import re

import pytest

from docs import diagram
from docs.figures import figures
from docs.sources import comparison
from docs.tables import FIGURE, REGION, TABLES, documents, filled, outdated, rendered
from tests.support.documents import DOCUMENTS, ROOT, name, prose, read


def test_everything_is_up_to_date():
    assert {name(path) for path in outdated()} == set(), "run python -m docs.tables"


def test_the_tables_beside_the_measurements_are_read():
    assert len(rendered()) == 4 and all(path.is_file() for path in rendered())


def test_every_table_is_somewhere():
    used = {found[2] for path in documents() for found in REGION.finditer(read(path))}
    assert used == set(TABLES)


@pytest.mark.parametrize("path", documents(), ids=name)
def test_a_changed_number_is_noticed(path):
    """In every table and every figure of the file, the first digit."""
    text = read(path)
    for found in [*REGION.finditer(text), *FIGURE.finditer(text)]:
        start = found.end(1)
        digit = re.compile(r"\d").search(text, start, found.start(3))
        if digit:
            at = digit.start()
            wrong = text[:at] + str(9 - int(text[at])) + text[at + 1 :]
            assert filled(wrong) == text != wrong


@pytest.mark.parametrize("text", ["<!-- table: nothing -->\n<!-- /table -->", "a <!--= demo.nothing -->1<!--/--> b"])
def test_an_unknown_name_is_an_error(text):
    with pytest.raises(KeyError, match="nothing"):
        filled(text)


@pytest.mark.parametrize("path", documents(), ids=name)
def test_figures_are_inside_of_lines(path):
    """At the beginning of a line Markdown takes the comment for a block of HTML and ends the paragraph."""
    assert not re.findall(r"^[ >*-]*<!--=", read(path), re.MULTILINE)


@pytest.mark.parametrize("path", documents(), ids=name)
def test_every_opening_comment_is_closed(path):
    text = read(path)
    assert text.count("<!-- table: ") == text.count("<!-- /table -->") == len(REGION.findall(text))
    assert text.count("<!--= ") == text.count("<!--/-->") == len(FIGURE.findall(text))


# What may be typed: settings, goals, and figures of runs whose results were not kept as files.
TYPED = {
    "README.md": (),
    "docs/index.md": (),
    "docs/methods.md": (),
    "docs/evaluation.md": ("11.1%",),
    "docs/results.md": (
        "11.1%", "33.3%", "50%",  # budgets
        "95%", "99.5%", "92.6%", "80%", "5%",  # goals, and 95% intervals
        "97.7%", "91.0%", "89.3%",  # the committed modules on the sweep's questions; an earlier base
    ),
    "docs/training.md": ("40%",),  # an assumption
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "TRAINING.md"], ids=name)
def test_no_result_is_typed_by_hand(path):
    """Shares with a percent sign, outside of generated tables, figures and code. TRAINING.md records lost runs."""
    text = prose(FIGURE.sub("", REGION.sub("", read(path))))
    typed = set(re.findall(r"\d+(?:\.\d+)?%", text))
    assert typed <= set(TYPED.get(name(path), ()))


def test_a_typed_result_would_be_found():
    text = prose(FIGURE.sub("", "Pruned, it answers <!--= demo.pruned -->97.0%<!--/--> or 97.0% right."))
    assert re.findall(r"\d+(?:\.\d+)?%", text) == ["97.0%"]


def test_figures_agree_with_the_report():
    """The report has the same numbers as its CSV file, from which figures are made."""
    report = read(ROOT / "assets" / "table" / "report.md")
    row = comparison()["glimpse@dynamic"]
    assert (
        f"| GlimpsePrune | dynamic | {100 * row['accuracy']:.1f}% | {figures()['table.glimpse@dynamic.share']}"
        in report
    )


# ------------------------------------------------------------------------------------------------ the drawing


def test_the_drawing_is_that_of_the_contract():
    assert read(diagram.FILE) == diagram.svg(diagram.layers()), "run python -m docs.diagram"


def test_the_drawing_has_every_package_once_and_in_order():
    names = re.findall(r'fill="#1e1b4b">(\w+)</text>', read(diagram.FILE))
    folders = {path.name for path in (ROOT / "glimpse_core").iterdir() if (path / "__init__.py").is_file()}
    assert folders <= set(names) and len(names) == len(set(names))
    assert names.index("cli") < names.index("pruners") < names.index("engine") < names.index("types")


def test_another_contract_gives_another_drawing():
    contract = '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["a", "b | c", "(d) : e"]\n'
    assert diagram.layers(contract) == [["a"], ["b", "c"], ["d", "e"]]
    drawn = diagram.svg(diagram.layers(contract))
    assert drawn != diagram.svg(diagram.layers()) and all(f">{one}</text>" in drawn for one in "abcde")


def test_every_package_says_what_it_is_for():
    for layer in diagram.layers():
        for one in layer:
            assert re.search(r"\w{3,}.*\.$", diagram.summary(one)), one
