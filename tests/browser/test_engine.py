"""The page on the real engine: the bundled demo model where its weights are there, else a tiny random one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from glimpse_core.types import GlimpseConfig, Selection
from tests.browser.conftest import Served, Visit, ask, browser_mask, canvas, finished, serve, set_threshold, status

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
HAS_DEMO = (DEMO / "model.safetensors").is_file() and (DEMO / "glimpse" / "glimpse.safetensors").is_file()
TINY = GlimpseConfig(
    keep_layer=2,
    read_layers=(2,),
    glimpse_layers=(0, 1, 2),
    vision_layers=(0, 1),
    vip_size=32,
    vip_condition_size=32,
)


@pytest.fixture(scope="module")
def real_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if HAS_DEMO:
        with serve() as served:
            yield served
        return

    def load() -> Any:
        from glimpse_core.models import catalog
        from tests.support.tiny_folder import write_base

        return catalog.load(write_base(tmp_path_factory.mktemp("tiny")), glimpse=TINY)

    with serve(load=load) as served:
        yield served


def test_example_to_both_answers_and_again(real_page: Served, visit: Visit) -> None:
    page = visit(real_page)
    expect(page.locator(".glimpse-badge")).to_contain_text("cpu · float32 · sdpa")
    ask(page)
    session = real_page.session
    total = sum(grid.tokens for grid in session.grids)
    assert (session.counters["vision"], session.counters["trunk"]) == (1, 1)
    assert page.evaluate("window.glimpse.stage.pictures.map((item) => [item.cols * 28, item.rows * 28])") == [
        list(size) for size in session.sizes
    ]
    assert browser_mask(page) == session.select(Selection()).mask.int().tolist()
    expect(page.locator(".card.full .hint")).to_contain_text(f"{total:,}")
    facts = page.get_by_role("table", name="What both answers cost")
    expect(facts.get_by_role("row", name="Visual tokens")).to_contain_text(f"{total:,}")
    expect(facts.get_by_role("row", name="Time to first token")).to_contain_text(re.compile(r"[\d.]+ m?s"))
    page.wait_for_function("window.glimpse.store.get().band.phase === 'done'")
    answers = session.counters["answers"]
    assert answers == 2 + len(page.evaluate("window.glimpse.store.get().band.answers"))
    alt = page.evaluate("window.glimpse.stage.pictures[0].alt")
    expect(canvas(page)).to_have_accessible_name(f"{alt} {described(session)}")

    set_threshold(page, "0.9")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.9")
    assert browser_mask(page) == session.select(Selection(0.9)).mask.int().tolist()
    assert session.counters["answers"] == answers
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.9")
    finished(page)
    assert real_page.session is session
    assert session.counters["answers"] == answers + 1
    assert (session.counters["vision"], session.counters["trunk"]) == (1, 1)
    expect(status(page)).to_have_text("")


def described(session: Any) -> str:
    grid, kept = session.grids[0], int(session.select(Selection()).mask.sum())
    best = int(session.probabilities.argmax())
    return (
        f"{grid.rows} rows by {grid.cols} columns of tokens; {kept} of {grid.tokens} are kept. The most relevant one "
        f"is in row {best // grid.cols + 1}, column {best % grid.cols + 1}. Arrow keys move over the tokens, "
        "Space keeps or drops one."
    )


@pytest.mark.skipif(not HAS_DEMO, reason="the demo weights are not in assets/demo")
def test_demo_model_sees_the_star_with_few_tokens(real_page: Served, visit: Visit) -> None:
    """The full answer is right; the pruned one has at least the color, from tokens that lie on the star."""
    page = visit(real_page)
    text, truth = real_page.flow.gallery.examples[0].questions[0]
    assert truth == "The star is green and says M4FE."
    ask(page, text)
    expect(page.locator(".card.full .text")).to_have_text(truth)
    expect(page.locator(".card.kept .text")).to_contain_text("The star is green")
    kept = sum(browser_mask(page))
    assert 0 < kept < len(browser_mask(page)) / 4
