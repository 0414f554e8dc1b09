"""The figures of the five variants against small cases worked out by hand."""

import json

import pytest

from glimpse_core.evaluation.cells import Cell
from glimpse_core.evaluation.presets import RANKINGS, VARIANTS
from glimpse_core.evaluation.report.variants import budget_rows, halves, summary


def entry(kind="color", expected="red", visual=100, evidence=10, kept=10, evidence_kept=8, **answers):
    """One question; every variant is right unless told otherwise."""
    given = dict.fromkeys(VARIANTS, expected) | answers
    cells = {
        VARIANTS[name].label: {"answer": answer, "score": float(answer.strip() == expected)}
        for name, answer in given.items()
    }
    cells["glimpse@dynamic"] |= {"kept": kept, "evidence_kept": evidence_kept}
    return {"type": kind, "prompt_length": visual + 20, "visual": visual, "evidence": evidence, "cells": cells}


def test_summary():
    entries = [
        entry(pruned=" red\n", evidence_dropped="blue", random_same_budget="blue"),
        entry(kept=30, evidence_kept=10, pruned="blue", evidence_dropped="green"),
        entry("exist", "no", evidence=0, kept=1, evidence_kept=0, oracle_boxes="yes"),
        entry("describe", "all", evidence=80, kept=90, evidence_kept=80, evidence_dropped="none"),
    ]
    report = summary(entries, {"color"})
    assert report["accuracy"] == {
        "full": 1.0,
        "pruned": 0.75,
        "random_same_budget": 0.75,
        "oracle_boxes": 0.75,
        "evidence_dropped": 0.25,
    }
    assert report["kept_share"]["mean"] == pytest.approx((0.1 + 0.3 + 0.01 + 0.9) / 4)
    assert report["evidence_recall"] == pytest.approx((0.8 + 1.0 + 1.0) / 3)
    assert report["with_evidence"]["count"] == 3
    assert report["with_evidence"]["evidence_dropped"] == 0.0
    assert report["one_object"]["count"] == 2
    assert report["one_object"]["pruned"] == 0.5
    assert report["one_object"]["kept_share"] == pytest.approx(0.2)
    assert list(report["by_type"]) == ["color", "describe", "exist"]
    assert report["by_type"]["exist"]["evidence_recall"] is None
    assert report["by_type"]["describe"]["evidence_share"] == pytest.approx(0.8)
    assert report["agreement_with_full"] == 0.75
    json.dumps(report, allow_nan=False)


def test_a_run_without_one_object_questions_has_nothing_to_say_about_them():
    assert summary([entry("describe")], {"color"})["one_object"]["full"] is None


def test_nothing_is_not_summarized():
    with pytest.raises(ValueError, match="nothing to summarize"):
        summary([], set())


def test_halves_are_told_by_the_type_of_the_question():
    entries = [entry("color"), entry("lookup"), entry("scene"), entry("about")]
    found = halves(entries)
    assert found == {"scenes": [entries[0], entries[2]], "pages": [entries[1], entries[3]]}
    assert list(halves(entries[:1])) == ["scenes"]


def test_the_lead_at_a_budget_is_counted_question_by_question():
    cells = [Cell(name, budget) for budget in (0.05, 0.2) for name in RANKINGS]
    right = {  # of four questions, the last two about pages
        (0.05, "glimpse:exact"): [1, 1, 1, 0],
        (0.05, "glimpse_attention"): [0, 1, 1, 0],
        (0.05, "attention"): [0, 0, 0, 1],
    }
    entries = [entry(kind) for kind in ("color", "name", "lookup", "cross")]
    for index, one in enumerate(entries):
        for cell in cells:
            score = right.get((cell.budget, cell.method), [1] * 4)[index]
            one["cells"][cell.label] = {"score": float(score)}
    low, high = budget_rows([*VARIANTS.values(), *cells], entries)
    assert (low["budget"], high["budget"]) == (0.05, 0.2)
    assert low["all"]["accuracy"] == {"glimpse:exact": 0.75, "glimpse_attention": 0.5, "attention": 0.25}
    assert low["scenes"]["accuracy"] == {"glimpse:exact": 1.0, "glimpse_attention": 0.5, "attention": 0.0}
    assert low["pages"]["lead"]["attention"]["value"] == 0.0
    lead = low["all"]["lead"]
    assert (lead["glimpse_attention"]["value"], lead["attention"]["value"]) == (0.25, 0.5)
    assert lead["attention"]["low"] < 0.5 < lead["attention"]["high"]
    assert low["scenes"]["lead"]["attention"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert high["all"]["lead"]["attention"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert budget_rows(list(VARIANTS.values()), entries) == []
