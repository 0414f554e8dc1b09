"""The figures of the five variants against small cases worked out by hand."""

import json

import pytest

from glimpse_core.evaluation.presets import VARIANTS
from glimpse_core.evaluation.report.variants import summary


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
