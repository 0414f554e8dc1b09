"""What the page's server does for a model without glimpse modules: defaults, links, calls, words, costs."""

from __future__ import annotations

import inspect
import json

import jsonschema
import pytest

from glimpse_core.costs.flops import attention_row
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import BY_RANK
from glimpse_core.glimpse.selection import REASONS, REASONS_BY_RANK
from glimpse_core.glimpse.settings import FIELDS, describe, from_query
from glimpse_core.glimpse.settings.interfaces import field_values
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.types import Selection, Settings
from glimpse_core.ui import app, benchmark, comparison, figures, texts
from glimpse_core.ui.api import ANSWERED
from glimpse_core.ui.boot import boot_payload
from glimpse_core.ui.endpoint import endpoint, read_call
from glimpse_core.ui.export import export
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.inside import heads_payload, inside_payload
from glimpse_core.ui.links import read_link
from glimpse_core.ui.payloads import idle_answers, scores_payload
from glimpse_core.ui.record import SCHEMA, text
from glimpse_core.ui.visitors import Visitors
from tests.browser.fake import FakeModel
from tests.support import tiny, tiny_llava, tiny_qwen3

BASE = Settings(BY_RANK)


def test_whether_there_are_modules_is_known_before_anything_is_loaded(tmp_path):
    assert app._has_modules("demo", None) and not app._has_modules("demo", "none")
    assert app._has_modules("qwen2.5-vl-3b", None) and not app._has_modules("qwen3-vl-2b", None)
    assert app._has_modules("qwen3-vl-2b", "./mine")
    assert not app._has_modules(str(tiny.base_folder()), None)
    assert app._has_modules(str(tmp_path), None)  # it will not load, and the page says why


def test_the_page_begins_with_a_share_by_rank():
    holder = Holder("x", FakeModel)
    flow = Flow(holder, Visitors(2, 10.0), Gallery(()), Session.ask, trained=False)
    assert flow.base == BASE and Flow(holder, Visitors(2, 10.0), Gallery(()), Session.ask).base == Settings()
    boot = boot_payload(flow, ["ask"], "knows")
    defaults = {field["name"]: field["default"] for field in boot["fields"]}
    assert (defaults["threshold"], defaults["max_ratio"], defaults["budget"]) == (0.0, 0.111, None)
    assert {field["name"]: field["usual"] for field in boot["fields"]}["threshold"] == 0.5
    assert boot["texts"]["how"] == texts.HOW_WITHOUT_MODULES and boot["model"]["trained"] is False
    chosen = {method["name"] for method in boot["methods"] if method["usual"]}
    assert "attention" in chosen and "glimpse" not in {method["name"] for method in boot["methods"]}
    assert all(field_values(field)["default"] == field_values(field)["usual"] for field in FIELDS)


def test_links_and_calls_are_over_these_defaults():
    assert from_query({"top": "7"}, base=BASE)[0] == Settings(BY_RANK, budget=7)
    link, problems = read_link({"most": "25"}, 8, BASE)
    assert link.settings == Settings(Selection(0.0, 0.25, 1)) and not problems
    offered = endpoint(lambda question, given: given, ANSWERED, BASE)
    assert inspect.signature(offered).parameters["threshold"].default == 0.0
    assert read_call({"threshold": 0.0, "max_ratio": None}, 1, BASE).settings == BASE
    assert read_call({"budget": 7}, 1, BASE).settings == Settings(BY_RANK, budget=7)


@pytest.mark.parametrize(
    ("settings", "plain", "trained"),
    [
        (BASE, "the 11.1% most attended", "at most 11.1%"),
        (Settings(BY_RANK, budget=24), "the 24 most attended", "the 24 most relevant"),
        (Settings(Selection(0.0, 0.25, 4, ("tl",))), "the 25% most attended, at least 4, 1 corner", None),
        (Settings(Selection(0.0)), "relevance above 0", "relevance above 0"),
        (Settings(Selection(0.4, 0.25)), "relevance above 0.4, at most 25%", "relevance above 0.4, at most 25%"),
    ],
)
def test_the_rule_in_words(settings, plain, trained):
    assert texts.rule(settings, trained=False) == plain
    assert texts.rule(settings, trained=True) == (trained or describe(settings))


def test_reasons_name_no_threshold():
    changed = [(old, new) for old, new in zip(REASONS, REASONS_BY_RANK, strict=True) if old != new]
    assert changed == [
        ("kept by the threshold", "kept within the share"),
        ("dropped by the cap", "dropped beyond the share"),
    ]


def test_payloads_costs_and_figures_of_a_real_session():
    model = tiny.plain()
    session = Session.ask(model, [tiny.picture()], "What is it?")
    kept = session.choose(BASE)
    canvas = scores_payload(session, [tiny.picture()], ["A."], BASE, kept.mask)
    assert canvas["attention_layer"] == model.keep_layer == 3 and "logits" not in canvas
    costs = figures.costs_of(model, session, int(kept.mask.sum()))
    assert (costs.keep_layer, costs.glimpse_tokens) == (3, 0)
    assert costs.pruned.trunk == costs.full.trunk and costs.full.glimpse_vip == 0
    assert costs.pruned.glimpse_vip == attention_row(model.shape.text, session.prompt_length) > 0
    inside = inside_payload(costs, session, idle_answers())
    heads = heads_payload(session)
    assert inside["attention"] is True and heads is not None
    assert (heads["layer"], heads["read_layers"], heads["heads"]) == (3, [3], model.backbone.heads)
    trained = Session.ask(tiny.model(), [tiny.picture()], "What is it?")
    assert "attention" not in inside_payload(costs, trained, idle_answers())


def test_what_needs_modules_is_not_offered():
    names = {name for _, name in comparison.offered(trained=False)}
    assert {name for _, name in comparison.offered()} - names == {"glimpse", "glimpse_attention"}
    methods, usual, budgets = benchmark.choices(trained=False)
    assert usual == ["attention", "fastv", "random_at_k", "boxes"] and "dynamic" not in budgets
    assert not {"glimpse", "glimpse_attention"} & {name for _, name in methods}
    assert benchmark.choices(trained=True)[1] == ["glimpse", "attention", "fastv", "random_at_k", "boxes"]


def test_a_threshold_that_reaches_the_engine_is_refused():
    session = Session.ask(tiny.plain(), [tiny.picture()], "What is it?")
    with pytest.raises(GlimpseError, match="Threshold is 0.5"):
        session.choose(Settings())


@pytest.mark.parametrize("family", [tiny, tiny_qwen3, tiny_llava], ids=["qwen", "qwen3", "llava"])
def test_every_family_answers_through_the_flow(family, tmp_path):
    """Without any glimpse modules: both answers, scores called attention, and a record that fits its schema."""
    tiny.picture().save(tmp_path / "a.png")
    holder = Holder("tiny", lambda: catalog.load(family.base_folder(), device="cpu"))
    flow = Flow(holder, Visitors(2, 10.0), Gallery(()), Session.ask, trained=False)
    views = list(flow.ask("visitor", [str(tmp_path / "a.png")], "What is it?", length=3))
    (canvas,) = (view.canvas for view in views if view.canvas and "probabilities" in view.canvas)
    assert canvas["attention_layer"] == 3 and "logits" not in canvas
    answers, visitor = views[-1].answers, flow.visitors.get("visitor")
    assert answers is not None and answers["verdict"] and answers["rule"] == "the 11.1% most attended"
    written = json.loads(text(visitor.record))
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    assert written["scores"]["kind"] == "attention" and written["pictures"][0]["logits"] is None
    assert written["tokens"]["kept"] == answers["kept"]["tokens"] == int(0.111 * written["tokens"]["total"])
    report = export("html", visitor.record, lambda: [tiny.picture()])["text"]
    assert "Attention of the last prompt token at layer 3" in report
