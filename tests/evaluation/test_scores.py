"""The published numbers against small cases worked out by hand."""

import json

import pytest

from glimpse_core.evaluation.scores import VARIANTS, Outcome, quantile, ranks, spearman, spread, summary


def outcome(kind="color", expected="red", visual=100, evidence=10, kept=10, evidence_kept=8, **answers):
    given = dict.fromkeys(VARIANTS, expected) | answers
    return Outcome(0, 1, kind, "?", expected, visual + 20, visual, evidence, kept, evidence_kept, given)


def test_ties_share_their_mean_rank():
    assert ranks([3, 1, 3, 2]) == [3.5, 1.0, 3.5, 2.0]
    assert ranks([5, 5, 5]) == [2.0, 2.0, 2.0]
    assert ranks([]) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17], -29 / 165),
        ([1, 2, 2, 3], [1, 3, 2, 4], 0.9486832980505138),  # ranks 1 2.5 2.5 4 against 1 3 2 4
        ([1, 1, 1], [1, 2, 3], None),
        ([], [], None),
    ],
)
def test_spearman(first, second, expected):
    assert spearman(first, second) == (None if expected is None else pytest.approx(expected))


def test_quartiles_interpolate():
    assert quantile([0.0, 1.0], 0.25) == 0.25
    assert spread([4, 1, 3, 2]) == {"mean": 2.5, "q25": 1.75, "median": 2.5, "q75": 3.25}
    assert spread([7]) == {"mean": 7.0, "q25": 7, "median": 7, "q75": 7}
    assert spread([])["mean"] is None


def test_summary():
    outcomes = [
        outcome(pruned=" red\n", evidence_dropped="blue", random_same_budget="blue"),
        outcome(kept=30, evidence_kept=10, pruned="blue", evidence_dropped="green"),
        outcome("exist", "no", evidence=0, kept=1, evidence_kept=0, oracle_boxes="yes"),
        outcome("describe", "all", evidence=80, kept=90, evidence_kept=80, evidence_dropped="none"),
    ]
    report = summary(outcomes, {"color"})
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
    assert summary([outcome("describe")], {"color"})["one_object"]["full"] is None


def test_nothing_is_not_summarized():
    with pytest.raises(ValueError, match="nothing to summarize"):
        summary([], set())
