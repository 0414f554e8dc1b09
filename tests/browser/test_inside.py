"""Costs and inside: every number shown is the one that `cost.py` counts or that the engine measured, by its label."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.ui import units
from glimpse_core.ui.projection import project
from tests.browser.conftest import Served, Visit, ask, browser_mask, finished, paint, upload
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

    pairs = {
        "Visual tokens": ("60", str(kept)),
        "KV cache": tuple(map(units.bytes_text, (costs.kv_bytes, costs.kept_kv_bytes))),
        "Prefill compute": tuple(map(units.flops_text, (costs.full.prefill, costs.pruned.prefill))),
        "Time to first token": ("40 ms", "45 ms"),  # of the stand-in's clocks
    }
    facts = {row.locator("th").inner_text(): row.locator("td") for row in page.locator(".facts tbody tr").all()}
    assert list(facts) == ["Visual tokens", "KV cache", "Time to first token"]
    for name, cells in facts.items():
        assert tuple(cells.all_inner_texts()[:2]) == pairs[name], name
    assert facts["Time to first token"].all_inner_texts()[2] == "+5.0 ms"
    figures = {figure.locator("h3").inner_text(): figure for figure in page.locator(".costs > .figures .cost").all()}
    assert list(figures) == ["KV cache", "Prefill compute", "Time to first token"]
    for name, figure in figures.items():
        assert tuple(figure.locator(".amount").all_inner_texts()) == pairs[name], name
        expect(figure.locator(".kind")).to_have_text("measured" if name.startswith("Time") else "calculated")
    expect(figures["Time to first token"].locator("figcaption")).to_have_text(
        "5.0 ms later here: with 6 layers and 60 visual tokens, the glimpse costs more than these dropped tokens save."
    )

    page.locator("details.inside > summary").click()
    layers = list(costs.tokens_per_layer())
    label = page.locator(".inside svg").get_attribute("aria-label") or ""
    assert f"Up to layer 3 all {layers[0].full} tokens run" in label and f"after it {layers[-1].pruned}." in label
    stages = ("vision", "trunk", "glimpse_vip", "branch", "lm_head")
    times = ((10, 10), (20, 20), (0, 5), (1, 1), (9, 9))
    rows = page.locator("table.stages tbody tr").all()
    assert len(rows) == 7
    for row, stage, expected in zip(rows, stages, times, strict=False):
        said = row.locator("td").all_inner_texts()
        assert said[:2] == [units.flops_text(getattr(run, stage)) for run in (costs.full, costs.pruned)], stage
        assert [float(text.removesuffix(" ms")) for text in said[2:]] == pytest.approx(expected)
    assert rows[5].locator("td").all_inner_texts() == [*pairs["Prefill compute"], *pairs["Time to first token"]]


def test_times_of_two_runs_are_not_compared(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    upload(page, paint(tmp_path / "one.png", (10 * PATCH, 6 * PATCH), 2, 3))
    ask(page, "Where?")
    for _ in range(2):
        page.locator("#glimpse-again").click()
        finished(page)
        expect(page.locator(".facts tbody tr").last.locator("td").last).to_have_text("earlier run")
    expect(page.locator(".facts td.old")).to_have_text("40 ms")
    time = page.locator(".costs > .figures .cost").last
    expect(time.locator("figcaption")).to_have_text("Not compared: the gray time is from an earlier run.")
    expect(time.locator(".bar.full.old")).to_contain_text("earlier run")


def test_the_projection_is_what_cost_says(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    page.locator("details.projection > summary").click()
    box = page.locator("details.projection")
    expect(box.locator(".summary")).to_contain_text("1920 × 1080 pixels become 39 × 69 = 2,691 visual tokens")
    box.get_by_label("Model").select_option("qwen2.5-vl-7b")
    box.get_by_label("Picture").select_option("1280x720")
    expect(box.locator(".summary")).to_contain_text("1280 × 720 pixels become 26 × 46 = 1,196 visual tokens")
    box.get_by_label("Kept (%)").fill("5")
    box.get_by_label("Kept (%)").press("Tab")
    expect(box.locator(".summary")).to_contain_text("60 of them stay after layer 18 (of 0 to 27)")
    value = project({"model": "qwen2.5-vl-7b", "width": 1280, "height": 720, "percent": 5})
    shown = [figure.locator(".amount").all_inner_texts() for figure in box.locator(".cost").all()]
    assert shown == [
        [units.bytes_text(value["kv_bytes"][side]) for side in ("full", "kept")],
        [units.flops_text(value["prefill"][side]) for side in ("full", "kept")],
        [units.flops_text(value["answer"][side]) for side in ("full", "kept")],
    ]
    box.get_by_label("Width").fill("3")
    box.get_by_label("Width").press("Tab")
    expect(box.locator(".summary")).to_have_text("width is 3. Expected an integer from 8 to 20,000.")
    expect(box.locator(".cost")).to_have_count(0)


def test_where_the_answers_part_is_what_the_engine_says(fake: Served, visit: Visit, tmp_path: Path) -> None:
    fake.model.say = lambda kept, total: "It is red" if kept == total else "It is blue"
    page = visit(fake)
    upload(page, paint(tmp_path / "one.png", (6 * PATCH, 4 * PATCH), 1, 2))
    ask(page, "Which color?")
    page.locator("details.inside > summary").click()
    said = {answer.text: answer for answer in fake.model.answers}
    where = fake.session.divergence(said["It is red"], said["It is blue"])
    figure = page.locator(".inside figure", has=page.get_by_role("heading", name="Where the answers part"))
    expect(figure.locator("figcaption")).to_have_text(
        "They differ after 2 tokens, “It is”: “red” with all tokens, “blue” with the kept ones."
    )
    for name, side in (("full", where.full), ("kept", where.kept)):
        rows = figure.locator(f"table.{name} tr")
        expect(rows).to_have_count(len(side))
        for row, token in zip(rows.all(), side, strict=True):
            expect(row.locator("th")).to_have_text(f"“{token.text.strip()}”")
            expect(row.locator(".percent")).to_have_text(f"{100 * token.probability:.1f}%")
    fake.model.say = lambda kept, total: "It is red"
    ask(page, "And now?")
    expect(figure.locator("figcaption")).to_have_text("Both answers are the same, token by token.")
    expect(figure.locator("table")).to_have_count(0)


def test_glimpse_attention_is_drawn_on_each_picture(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    first = paint(tmp_path / "one.png", (6 * PATCH, 4 * PATCH), 1, 2)
    second = paint(tmp_path / "two.png", (3 * PATCH, 5 * PATCH), 4, 0)
    upload(page, first, second)
    ask(page, "Where?")
    page.locator("details.inside > summary").click()
    heads = page.locator(".inside .attention canvas")
    expect(heads).to_have_count(4)
    expect(heads.nth(2)).to_have_attribute("aria-label", "Head 2: strongest in row 2, column 3")
    result = page.locator(".inside .vip canvas")
    expect(result).to_have_attribute("aria-label", re.compile("strongest in row 2, column 3"))
    expect(page.locator(".pages button").nth(0)).to_contain_text("1 of 24")
    page.locator(".pages button").nth(1).click()
    expect(heads.nth(2)).to_have_attribute("aria-label", "Head 2: strongest in row 5, column 1")
    assert result.evaluate("(canvas) => [canvas.width, canvas.height]") == [3, 5]
    share = 100 * fake.session.attention[2].softmax(-1).max()
    expect(page.locator(".inside .attention small").nth(2)).to_have_text(f"up to {share:.1f}% on one token")


def test_the_lesson_walks_over_the_live_picture(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    expect(page.get_by_role("button", name="How it works")).to_be_hidden()  # nothing to show it on
    ask(page)
    page.get_by_role("button", name="How it works").click()
    lesson = page.get_by_role("region", name="How it works")
    expect(lesson).to_contain_text("1 of 5 · The picture becomes tokens")
    expect(lesson).to_contain_text("20 × 28, and turns every cell into one visual token: 560 in all")
    read = "document.querySelector('.glimpse-stage .frame canvas').toDataURL()"
    seen, drawn = [], []
    for _ in range(5):
        seen.append(page.evaluate("window.glimpse.stage.view"))
        drawn.append(page.evaluate(read))
        page.keyboard.press("Enter")
    assert seen == ["picture", "heat", "heat", "kept", "wipe"]
    assert len({*drawn}) == 5, "every step changes the stage: the second shows attention, the third scores"
    expect(lesson).to_be_hidden()
    expect(page.get_by_role("radio", name="Kept", exact=True)).to_have_attribute("aria-checked", "true")
    assert page.evaluate("window.glimpse.stage.view") == "kept", "the view that was chosen is back"
    expect(page.get_by_role("button", name="How it works")).to_be_focused()
