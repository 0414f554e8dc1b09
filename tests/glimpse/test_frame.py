"""Pictures that fill a part of their token grid: what is drawn, boxed and asked must lie where the picture lies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from glimpse_core.__main__ import main
from glimpse_core.glimpse.boxes import box_tokens
from glimpse_core.inference.session import Session
from glimpse_core.media.overlay import cell_box, overlay
from glimpse_core.types import Grid, Settings
from glimpse_core.ui.payloads import scores_payload
from tests.support import tiny, tiny_llava

PIXELS = [(120, 80), (33, 100), (64, 64), (90, 7)]


def padded(size):
    """The side of the square, and where the picture begins in it, in pixels."""
    side = max(size)
    return side, (side - size[0]) // 2, (side - size[1]) // 2


def framed(size, rows=6, cols=6):
    side, left, top = padded(size)
    return Grid(rows, cols, (left / side, top / side, (left + size[0]) / side, (top + size[1]) / side))


@pytest.mark.parametrize("view", ["heat", "kept_only"])
@pytest.mark.parametrize("size", PIXELS)
def test_an_overlay_is_the_part_of_the_square_that_the_picture_occupies(size, view):
    """Drawn on the whole padded square by the rule for whole grids, then cut out."""
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(60, 200, (size[1], size[0], 3), dtype=np.uint8))
    scores = random.random((6, 6)).astype(np.float32)
    side, left, top = padded(size)
    square = Image.new("RGB", (side, side))
    square.paste(image, (left, top))
    whole = overlay(square, scores, scores > 0.5, Grid(6, 6), view)
    wanted = whole.crop((left, top, left + size[0], top + size[1]))
    assert np.array_equal(overlay(image, scores, scores > 0.5, framed(size), view), wanted)


@pytest.mark.parametrize("size", PIXELS)
def test_cells_of_a_framed_picture_cover_it_once(size):
    grid, covered = framed(size), np.zeros((size[1], size[0]), dtype=int)
    for index in range(grid.tokens):
        left, top, right, bottom = cell_box(size, grid, index)
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("size", PIXELS)
def test_a_box_of_the_picture_is_a_box_of_the_square(size):
    side, left, top = padded(size)
    for x1, y1, x2, y2 in np.random.default_rng(0).random((40, 4)):
        x1, x2, y1, y2 = *sorted((x1, x2)), *sorted((y1, y2))
        moved = [(left + x1 * size[0]) / side, (top + y1 * size[1]) / side]
        moved += [(left + x2 * size[0]) / side, (top + y2 * size[1]) / side]
        assert box_tokens([(x1, y1, x2, y2)], framed(size)) == box_tokens([moved], Grid(6, 6))


def test_a_box_of_the_whole_picture_does_not_reach_into_the_padding():
    assert box_tokens([(0, 0, 1, 1)], framed((120, 80))) == list(range(6, 30))  # rows 1 to 4 of 6


def test_the_page_is_told_where_the_picture_lies():
    session = Session.ask(tiny_llava.model(), [tiny.picture(120, 60)], "What?")
    assert session.sizes == ((56, 28),)
    mask = session.choose(Settings()).mask
    (picture,) = scores_payload(session, [tiny.picture(120, 60)], ["It."], Settings(), mask)["pictures"]
    assert picture["frame"] == [0, 0.25, 1, 0.75]
    assert (picture["width"], picture["height"], picture["rows"], picture["cols"]) == (56, 28, 4, 4)
    assert "src" not in picture  # it is on the page already


def test_ask_with_a_llava_folder(tmp_path, capsys):
    """The command answers, counts, and draws on the picture alone."""
    from glimpse_core.models import checkpoint

    model = tiny_llava.model()
    checkpoint.save(tmp_path / "glimpse", model.config, model.glimpse, model.vip)
    tiny.picture(120, 60).save(tmp_path / "picture.png")
    options = ["--glimpse", str(tmp_path / "glimpse"), "--device", "cpu", "--max-new-tokens", "4", "--json"]
    for folder in (tiny_llava.base_folder(), tiny_llava.original_folder()):
        drawn = tmp_path / "drawn.png"
        picture = [str(tmp_path / "picture.png"), "-q", "What is it?"]
        assert main(["ask", *picture, "--model", str(folder), "--save-overlay", str(drawn), *options]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["visual_tokens"]["before"] == 16
        assert set(report["answers"]) == {"pruned", "full"}
        with Image.open(drawn) as image:
            assert image.size == (120, 60)


def test_the_page_answers_with_a_llava_model(tmp_path):
    import app

    model = tiny_llava.model()
    page = app.create_app("tiny", load=lambda: model, examples=(), results={})
    tiny.picture(120, 60).save(tmp_path / "picture.png")
    views = list(page.flow.ask("visitor", [str(tmp_path / "picture.png")], "What is it?", None, 6))
    (canvas,) = (
        view.canvas for view in views if view.canvas and view.canvas.get("pictures") and "probabilities" in view.canvas
    )
    assert canvas["pictures"][0]["frame"] == [0, 0.25, 1, 0.75]
    answers = views[-1].answers
    found = Session.ask(model, [tiny.picture(120, 60)], "What is it?").probabilities > 0.5
    assert answers["kept"]["tokens"] == int(found.sum())
