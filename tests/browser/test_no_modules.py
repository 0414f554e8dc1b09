"""The page on a model whose glimpse modules are left out: it says what its scores are; how many stay is the rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Page, expect

from glimpse_core.types import Selection, Settings
from glimpse_core.ui.record import SCHEMA
from tests.browser.conftest import (
    PATIENCE,
    Served,
    Visit,
    ask,
    browser_mask,
    canvas,
    finished,
    more,
    ready,
    serve,
    status,
    still,
    view,
)

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
HAS_DEMO = (DEMO / "model.safetensors").is_file()


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    def load() -> Any:
        from glimpse_core.models import catalog
        from tests.support.tiny_folder import write_base

        return catalog.load(write_base(tmp_path_factory.mktemp("tiny")), device="cpu")

    with serve(glimpse="none", **({} if HAS_DEMO else {"load": load})) as served:
        yield served


@pytest.fixture
def asked(plain_page: Served, visit: Visit) -> Page:
    """The page with the answers to its first question, the band included."""
    page = visit(plain_page)
    ask(page)
    page.wait_for_function("window.glimpse.store.get().band.phase === 'done'")
    return page


def layer(served: Served) -> int:
    return served.flow.holder.model.keep_layer


def test_it_says_so_before_anything_is_asked(plain_page: Served, visit: Visit) -> None:
    page = visit(plain_page)
    expect(page.locator(".glimpse-badge")).to_contain_text(
        f"no glimpse modules: scores are attention at layer {layer(plain_page)}"
    )
    assert plain_page.flow.gallery.results == {}, "stored results belong to the model with its modules"
    expect(page.locator(".stored")).to_have_count(0)
    assert page.evaluate("window.glimpse.store.get().scores") is None
    foot = page.locator(".foot")
    expect(foot).to_contain_text("This model has no glimpse modules, so nothing trained says what matters")
    expect(foot).not_to_contain_text("predictor")
    more(page)
    box = page.get_by_role("spinbutton", name="Keep tokens more relevant than")
    expect(box).to_be_disabled()
    expect(page.get_by_role("slider", name="Keep tokens more relevant than, slider")).to_be_disabled()
    expect(page.locator(".setting .why:visible")).to_have_text(re.compile("^Off: without glimpse modules"))


def test_scores_legend_and_readout_are_attention(plain_page: Served, asked: Page) -> None:
    page, session = asked, plain_page.session
    total = session.tokens
    kept = session.select().mask
    assert int(kept.sum()) == int(0.111 * total)
    assert browser_mask(page) == kept.int().tolist()
    expect(page.locator(".card.kept .hint")).to_contain_text("the 11.1% most attended")
    view(page, "Heat map")
    expect(page.locator(".legend")).to_contain_text("attention 0")
    expect(page.locator(".legend")).to_contain_text("1 most")
    expect(page.locator(".legend .tick")).to_have_count(0)
    best = int(session.probabilities.argmax())
    grid = session.grids[0]
    place = f"row {best // grid.cols + 1}, column {best % grid.cols + 1}"
    expect(canvas(page)).to_have_accessible_name(re.compile(f"The most attended one is in {place}"))
    canvas(page).focus()
    page.keyboard.press("ArrowDown")  # to the most attended token
    words = page.locator(".words")
    expect(words).to_contain_text(
        f"attention at layer {layer(plain_page)}: 1.000 of the most attended token's, rank 1 of "
    )
    expect(words).to_contain_text("kept within the share")
    expect(page.locator(".dial .own")).to_have_attribute("title", f"The share kept at first: {int(kept.sum())} tokens")


def test_the_dial_is_the_rule(plain_page: Served, asked: Page) -> None:
    page, session = asked, plain_page.session
    dial = page.get_by_role("slider", name="Number of visual tokens kept")
    dial.focus()
    dial.press("Home")
    page.wait_for_function("window.glimpse.stage.settings.budget === 1")
    assert browser_mask(page) == session.choose(Settings(budget=1)).mask.int().tolist()
    dial.press("PageUp")
    count = page.evaluate("window.glimpse.stage.settings.budget")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text(f"the {count} most attended")
    finished(page)
    assert plain_page.session is session and session.counters["trunk"] == 1
    more(page)
    share = page.get_by_role("spinbutton", name=re.compile("^Keep at most"))
    share.fill("50")
    share.press("Tab")
    page.wait_for_function("window.glimpse.stage.settings.max_ratio === 0.5")
    assert browser_mask(page) == session.select(Selection(0.0, 0.5)).mask.int().tolist()
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("window.glimpse.stage.settings.max_ratio === 0.111")
    assert browser_mask(page) == session.select().mask.int().tolist()
    expect(status(page)).to_have_text("")


def test_the_lesson_speaks_of_no_predictor(plain_page: Served, asked: Page) -> None:
    page = asked
    page.get_by_role("button", name="How it works, in four steps").click()
    lesson = page.get_by_role("region", name="How it works")
    seen, said, drawn = [], [], []
    for number in range(1, 5):
        expect(lesson).to_contain_text(f"{number} of 4 · ")
        seen.append(page.evaluate("window.glimpse.stage.view"))
        said.append(lesson.inner_text())
        drawn.append(page.evaluate("document.querySelector('.glimpse-stage .frame canvas').toDataURL()"))
        page.keyboard.press("Enter")
    expect(lesson).to_be_hidden()
    assert seen == ["picture", "heat", "kept", "wipe"] and len({*drawn}) == 4
    assert f"pays to it in layer {layer(plain_page)}, averaged over heads" in said[1]
    assert "nothing was trained" in said[1]
    assert not any("predictor" in text.lower() or "glimpse token" in text for text in said)


def test_what_is_inside(plain_page: Served, asked: Page) -> None:
    page = asked
    page.locator("details.inside > summary").click()
    inside = page.locator(".inside")
    expect(inside).to_contain_text("What the last token of the prompt attended to")
    expect(inside).to_contain_text("mean of all heads, 1 for the most attended token")
    expect(inside.locator("table.stages")).to_contain_text("The attention that is read")
    expect(inside).not_to_contain_text("predictor")
    heads = inside.locator(".attention canvas")
    expect(heads).to_have_count(plain_page.flow.holder.model.backbone.heads)
    label = page.locator(".inside svg").get_attribute("aria-label") or ""
    assert "glimpse token" not in label


def test_record_and_report_say_what_the_scores_are(plain_page: Served, asked: Page) -> None:
    page, session = asked, plain_page.session
    texts = {}
    for name in ("Data", "Report"):
        with page.expect_download(timeout=PATIENCE) as download:
            page.get_by_role("button", name=name, exact=True).click()
        texts[name] = download.value.path().read_text(encoding="utf-8")
    record = json.loads(texts["Data"])
    jsonschema.validate(record, json.loads(SCHEMA.read_text()))
    scores = record["scores"]
    assert (scores["kind"], scores["layer"]) == ("attention", layer(plain_page))
    assert record["model"]["keep_layer"] == layer(plain_page) and record["costs"]["glimpse_tokens"] == 0
    (picture,) = record["pictures"]
    assert picture["logits"] is None
    assert [value for row in picture["probabilities"] for value in row] == pytest.approx(session.probabilities.tolist())
    assert "dropped beyond the share" in record["reasons"] and "kept by the threshold" not in record["reasons"]
    assert record["settings"]["threshold"] == 0 and record["settings"]["max_ratio"] == 0.111
    assert "attention 0" in texts["Report"] and "Relevance" not in texts["Report"]
    assert f"Attention of the last prompt token at layer {layer(plain_page)}" in texts["Report"]


def test_a_link_with_a_threshold_is_opened_without_it(plain_page: Served, visit: Visit) -> None:
    page = visit(plain_page)
    page.goto(f"{plain_page.url}?ex=1&q=Read+the+label&t=0.4&most=25")
    ready(page)
    expect(status(page)).to_contain_text("The link has a threshold, which says nothing")
    finished(page)
    assert page.evaluate("window.glimpse.stage.settings.threshold") == 0
    assert page.evaluate("window.glimpse.stage.settings.max_ratio") == 0.25
    assert sum(browser_mask(page)) == int(0.25 * plain_page.session.tokens)


def test_methods_and_benchmark_leave_out_what_needs_modules(plain_page: Served, visit: Visit) -> None:
    page = visit(plain_page)
    names = {method["name"]: method["usual"] for method in page.evaluate("window.glimpse.app.boot.methods")}
    assert names["attention"] and not {"glimpse", "glimpse_attention"} & names.keys()
    page.get_by_role("tab", name="Benchmark").click()
    tab = page.locator("#glimpse-tab-benchmark")
    expect(tab.get_by_label("attention at K")).to_be_checked()
    for missing in ("GlimpsePrune", "glimpse attention", "dynamic"):
        expect(tab.get_by_label(missing, exact=True)).to_have_count(0)
    still(page)


def test_the_api_says_so_and_refuses_a_threshold(plain_page: Served) -> None:
    client = Client(plain_page.url, verbose=False)
    picture = [handle_file(str(plain_page.flow.gallery.examples[0].path))]
    assert client.predict(api_name="/model")["trained"] is False
    made = client.predict(picture, "What is this?", api_name="/score")
    jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    assert made["scores"]["kind"] == "attention" and made["tokens"]["kept"] == int(0.111 * made["tokens"]["total"])
    some = client.predict(picture, "What is this?", budget=7, api_name="/score")
    assert some["tokens"]["kept"] == 7
    band = client.predict(picture, "What is this?", budgets="2,5", max_new_tokens=2, api_name="/band")
    assert [answer["kept"] for answer in band["answers"]] == [2, 5]
    with pytest.raises(Exception, match="Threshold is 0.4, and .* has no glimpse modules: its scores are attention"):
        client.predict(picture, "What is this?", threshold=0.4, api_name="/score")
    client.close()
