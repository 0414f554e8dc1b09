"""Finished runs: found again by their names, with their files, until they are old or too many."""

from __future__ import annotations

from typing import Any, cast

import pytest

from glimpse_core.evaluation.benchmark import Progress
from glimpse_core.ui.finished import AGE, MOST, Finished


def run(finished: Finished, done: int, keep: bool = True) -> tuple[str, Any]:
    with finished.folder() as folder:
        (folder.path / "file.txt").write_text("x")
        name = folder.keep(cast(Progress, done)) if keep else ""
        return name, folder.path


def test_a_kept_run_is_found_by_its_name_and_keeps_its_files() -> None:
    finished = Finished()
    (one, first), (two, second) = run(finished, 1), run(finished, 2)
    assert (finished.get(one), finished.get(two)) == (1, 2) and one != two and len(one) >= 20
    assert first != second and (first / "file.txt").exists() and (second / "file.txt").exists()


@pytest.mark.parametrize("name", [None, "", "other", 5, ["x"], {"a": 1}])
def test_other_names_find_nothing(name: Any) -> None:
    finished = Finished()
    run(finished, 1)
    assert finished.get(name) is None


def test_a_run_that_was_not_kept_leaves_no_folder() -> None:
    finished = Finished()
    assert not run(finished, 1, keep=False)[1].exists()
    with pytest.raises(ZeroDivisionError), finished.folder() as folder:
        raise ZeroDivisionError
    assert not folder.path.exists()


def test_old_ones_and_too_many_go_with_their_files() -> None:
    now = [0.0]
    finished = Finished(lambda: now[0])
    all_of_them = [run(finished, number) for number in range(MOST + 3)]
    assert [finished.get(name) for name, _ in all_of_them] == [None] * 3 + list(range(3, MOST + 3))
    assert [path.exists() for _, path in all_of_them] == [False] * 3 + [True] * MOST
    now[0] = AGE
    late, path = run(finished, 99)
    now[0] = AGE + 1
    assert finished.get(late) == 99 and finished.get(all_of_them[-1][0]) is None
    assert path.exists() and not all_of_them[-1][1].exists()


def test_nothing_is_left_when_the_page_is_gone() -> None:
    finished = Finished()
    _, path = run(finished, 1)
    assert path.exists()
    del finished
    assert not path.exists() and not path.parent.exists()
