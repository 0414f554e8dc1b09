"""Costs and inside: every number shown is the one that `cost.py` counts or that the engine measured, by its label."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.ui import units
from tests.browser.conftest import Served, Visit, ask, browser_mask, paint, upload
from tests.browser.fake import CONFIG, GLIMPSE, PATCH


def test_figures_agree_with_cost_and_clocks(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    upload(page, paint(tmp_path / "one.png", (10 * PATCH, 6 * PATCH), 2, 3))
    fake.model.words = 5
    ask(page, "Where?")
    session = fake.session
    kept = sum(browser_mask(page))
    shape = Shape.from_config(CONFIG, GLIMPSE)
    costs = cost(shape, session.prompt_length, 60, kept, grids=session.grids, dtype="float32")

    under = {name: page.locator(f".card.{name} dl") for name in ("full", "kept")}
    for name, tokens, length, kv, flops in (
        ("full", 60, costs.prompt_length, costs.kv_bytes, costs.full),
        ("kept", kept, costs.kept_length, costs.kept_kv_bytes, costs.pruned),
    ):
        said = {row.locator("dt").inner_text(): row for row in under[name].locator("div").all()}
        assert said["Visual tokens"].locator("dd").evaluate("(cell) => cell.firstChild.textContent") == str(tokens)
        assert said["Prompt length"].locator("dd").inner_text() == f"{length} tokens"
        assert said["KV cache"].locator("dd").inner_text() == units.bytes_text(kv)
        assert said["Prefill compute"].locator("dd").inner_text() == units.flops_text(flops.prefill)
        clocks = 0.01 + 0.02 + (0.005 if name == "kept" else 0) + fake.model.pace
        assert said["Time to first token"].locator("dd").inner_text() == units.seconds_text(clocks)
        assert said["Decoding"].locator("dd").inner_text() == "100 tokens/s"
        kinds = {label: row.get_attribute("data-kind") for label, row in said.items()}
        assert list(kinds.values()) == ["counted"] * 2 + ["calculated"] * 2 + ["measured"] * 2

    layers = list(costs.tokens_per_layer())
    label = page.locator(".alive svg").get_attribute("aria-label")
    assert label == (
        f"{layers[0].full} tokens in all 6 layers without pruning; with it {layers[0].pruned} up to layer 3 and "
        f"{layers[-1].pruned} after it."
    )
    compute, clock = page.locator("figure.stages").all()
    expect(compute.locator(".kind")).to_have_text("calculated")
    expect(clock.locator(".kind")).to_have_text("measured")
    stages = ("vision", "trunk", "glimpse_vip", "branch", "lm_head")
    for row, stage in zip(compute.locator("tbody").first.locator("tr").all(), stages, strict=True):
        shown = [units.flops_text(getattr(run, stage)) for run in (costs.full, costs.pruned)]
        assert row.locator(".amount").all_inner_texts() == shown, stage
    times = ((10, 10), (20, 20), (0, 5), (1, 1), (9, 9))
    for row, expected in zip(clock.locator("tbody").first.locator("tr").all(), times, strict=True):
        found = [float(text.removesuffix(" ms")) for text in row.locator(".amount").all_inner_texts()]
        assert found == pytest.approx(expected)
    said = page.locator(".glimpse-answers .note").inner_text()
    assert "the last 2 of 6 layers read only the kept tokens" in said
    assert "first 4 layers still read every token" in said


def test_glimpse_attention_is_drawn_on_each_picture(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    first = paint(tmp_path / "one.png", (6 * PATCH, 4 * PATCH), 1, 2)
    second = paint(tmp_path / "two.png", (3 * PATCH, 5 * PATCH), 4, 0)
    upload(page, first, second)
    ask(page, "Where?")
    heads = page.locator(".why .head canvas")
    expect(heads).to_have_count(4)
    expect(heads.nth(2)).to_have_attribute("aria-label", "Head 2: strongest in row 2, column 3")
    expect(page.locator(".why .vip canvas")).to_have_attribute("aria-label", re.compile("strongest in row 2, column 3"))
    expect(page.locator(".pages button").nth(0)).to_contain_text("1 of 24")
    page.locator(".pages button").nth(1).click()
    expect(heads.nth(2)).to_have_attribute("aria-label", "Head 2: strongest in row 5, column 1")
    assert page.locator(".why .vip canvas").evaluate("(canvas) => [canvas.width, canvas.height]") == [3, 5]
    share = 100 * fake.session.attention[2].softmax(-1).max()
    expect(page.locator(".why .head small").nth(2)).to_have_text(f"up to {share:.1f}% on one token")


def test_the_lesson_walks_over_the_live_picture(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    expect(page.get_by_role("button", name="How it works")).to_be_hidden()  # nothing to show it on
    ask(page)
    page.get_by_role("button", name="How it works").click()
    lesson = page.get_by_role("region", name="How it works")
    expect(lesson).to_contain_text("1 of 5 · The picture becomes tokens")
    expect(lesson).to_contain_text("20 × 28, and turns every cell into one visual token: 560 in all")
    seen = []
    for _ in range(5):
        seen.append(page.evaluate("window.glimpse.stage.view"))
        page.keyboard.press("Enter")
    assert seen == ["picture", "picture", "heat", "kept", "wipe"]
    expect(lesson).to_be_hidden()
