"""Opening a question of the Benchmark tab on the Ask tab: its image as the model saw it, and the cell's budget."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.ui.benchmark_cases import GAINED, LOST, chosen, picked
from glimpse_core.ui.links import read_link

CELLS = ("glimpse@11.1%", "glimpse", "fastv@5%", "glimpse@dynamic")


class Task:
    """Two images in different colors; the third is gone."""

    def item(self, index: int) -> Any:
        def image() -> Image.Image:
            if index == 2:
                raise GlimpseError("Its file is gone.")
            return Image.new("RGB", (8, 8), ("red", "blue")[index])

        return SimpleNamespace(image=image)


def changes() -> Any:
    """Lost: question 1, one whose overlay could not be drawn, question 0 and question 2. Gained: nothing."""
    overlay = Image.new("RGB", (8, 8))
    entries = [
        ({"index": index, "question": f"Question {index}?"}, overlay if index != 7 else None) for index in (1, 7, 0, 2)
    ]
    lost = [SimpleNamespace(entry=entry, image=image) for entry, image in entries]
    return SimpleNamespace(
        task=Task(), titles={label: label for label in CELLS}, cases=lambda cell, gained: [] if gained else lost
    )


@pytest.mark.parametrize(("index", "color"), [(0, (0, 0, 255)), (1, (255, 0, 0))])
def test_the_place_in_the_gallery_names_the_question(index: int, color: tuple[int, int, int]) -> None:
    found = picked(changes(), "fastv@5%", LOST, index)
    assert found is not None
    image, query = found
    assert image.getpixel((0, 0)) == color and query == {"q": f"Question {1 - index}?"}


@pytest.mark.parametrize(("cell", "share"), [*zip(CELLS, (0.111, None, None, None), strict=True)])
def test_only_a_budget_of_the_glimpse_goes_along(cell: str, share: float | None) -> None:
    found = picked(changes(), cell, LOST, 0)
    assert found is not None
    link, problems = read_link(found[1], 1)
    assert problems == [] and link.question == "Question 1?"
    assert link.settings.selection.max_ratio == (share and pytest.approx(share))


@pytest.mark.parametrize(
    ("given", "cell", "kind", "index"),
    [
        (changes(), "fastv@5%", LOST, 2),  # its file is gone
        (changes(), "fastv@5%", LOST, 3),  # there are three
        (changes(), "fastv@5%", LOST, -1),
        (changes(), "fastv@5%", GAINED, 0),
        (changes(), "another", LOST, 0),
        (None, "fastv@5%", LOST, 0),
    ],
)
def test_what_is_not_there_opens_nothing(given: Any, cell: str, kind: str, index: int) -> None:
    assert picked(given, cell, kind, index) is None


def test_without_a_finished_run_there_is_nothing_to_open() -> None:
    heading, gallery, button = chosen(None, "fastv@5%", LOST)
    assert heading == "" and gallery.value == [] and button.interactive is False
