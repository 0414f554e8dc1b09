"""The files for GitHub, pre-commit and make: they can be read, agree with the pins, and name what exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
CI = yaml.safe_load(WORKFLOW)
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(
    line.split("==")
    for line in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)


def steps(job: str) -> list[dict[str, Any]]:
    return CI["jobs"][job]["steps"]


def commands(job: str) -> str:
    return "\n".join(step.get("run", "") for step in steps(job))


def test_the_workflow_lints_tests_and_builds_without_secrets() -> None:
    assert set(CI["jobs"]) == {"lint", "tests", "wheel"}
    assert set(CI[True]) == {"push", "pull_request", "workflow_dispatch"}  # YAML 1.1 reads the key `on` as a boolean
    assert CI["permissions"] == {"contents": "read"} and "secrets." not in WORKFLOW
    assert "make lint" in commands("lint") and ".ci/run" in commands("tests") and "make wheel" in commands("wheel")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_workflow_runs_the_python_versions_that_the_package_names() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = {f"3.{line.removeprefix(prefix)}" for line in PROJECT["project"]["classifiers"] if line.startswith(prefix)}
    tested = CI["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert set(tested) == named and min(named) == PROJECT["project"]["requires-python"].removeprefix(">=")
    assert set(CI["jobs"]["wheel"]["strategy"]["matrix"]["python"]) <= named


def test_every_action_has_a_version_and_every_job_a_limit() -> None:
    used = [step["uses"] for job in CI["jobs"] for step in steps(job) if "uses" in step]
    assert len(used) >= 7 and all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)
    assert all(1 <= job["timeout-minutes"] <= 60 for job in CI["jobs"].values())


def test_the_question_that_the_workflow_asks_has_the_answer_that_it_expects() -> None:
    text = commands("wheel")
    name, question = re.search(r"examples/(\S+)", text)[1], re.search(r'--question "(.+?)"', text)[1]
    entry = next(one for one in json.loads((ROOT / "assets/examples/examples.json").read_text()) if one["file"] == name)
    truth = next(one["answer"] for one in entry["questions"] if one["question"] == question)
    assert f'"pruned: {truth}"' in text


def test_hooks_have_the_versions_of_the_pins() -> None:
    hooks = {hook["id"]: hook for repo in HOOKS for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format", "lint-imports", "trailing-whitespace", "end-of-file"} <= set(hooks)
    for hook in hooks.values():
        (requirement,) = hook["additional_dependencies"]
        package, version = requirement.split("==")
        assert PINS.get(package, version) == version, f"{hook['id']} has {requirement}, the pin is {PINS[package]}"
    assert {hook["additional_dependencies"][0].split("==")[0] for hook in hooks.values()} & set(PINS) == {
        "ruff",
        "import-linter",
    }


def test_hooks_run_what_make_lint_runs() -> None:
    entries = {hook["entry"] for repo in HOOKS for hook in repo["hooks"]}
    lint = _dry_run("lint")
    assert "ruff check ." in lint and "ruff check --force-exclude" in entries
    assert "ruff format --check ." in lint and "ruff format --force-exclude" in entries
    assert "lint-imports --no-cache" in lint and "lint-imports --no-cache" in entries


def _dry_run(*words: str) -> str:
    """What make would run. Everything counts as installed."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *words], cwd=ROOT, capture_output=True, text=True, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    """Without the variables by which an outer make hands its own options on."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def test_make_runs_every_test_once_and_the_browser_tests_by_themselves() -> None:
    fast, browser = _dry_run("test-fast"), _dry_run("test-browser")
    assert "-n 2 --dist loadfile --ignore=tests/browser" in fast
    assert "-n 2 --dist loadfile tests/browser" in browser
    assert "eq 5" not in fast + browser  # an empty suite fails
    chosen = 'ARGS=-k "one or two"'
    assert '-m "not browser" -k "one or two" || [ $? -eq 5 ]' in _dry_run("test-fast", chosen)
    assert '-m browser -k "one or two" || [ $? -eq 5 ]' in _dry_run("test-browser", chosen)
    assert "-n 0 " in _dry_run("test-fast", "JOBS=0")


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 2)])
def test_without_node_the_checks_of_the_browser_side_say_that_they_are_left_out(
    tmp_path: Path, required: str, code: int
) -> None:
    environment = {**_environment(), "PATH": str(tmp_path), "GLIMPSE_REQUIRE_NODE": required}
    for target in ("lint-web", "test-web"):
        done = subprocess.run(
            [str(shutil.which("make")), target], cwd=ROOT, capture_output=True, text=True, env=environment
        )
        assert done.returncode == code, done.stderr
        assert "The checks of the browser's side are left out" in done.stderr and "nodejs npm" in done.stderr


def test_ci_cannot_leave_the_browser_side_out() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^export .*GLIMPSE_REQUIRE_NODE=1", script, re.MULTILINE) and "nodejs npm" in script
    lint, tests = _dry_run("lint"), _dry_run("test-web")
    if shutil.which("npm"):
        assert "eslint --max-warnings 0 glimpse_core/ui/web" in lint and "bin/tsc\n" in lint
        assert "node --test tests/web/" in tests


def test_packages_of_the_browser_side_are_pinned_and_locked_without_an_address() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    text = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    lock = json.loads(text)["packages"]
    pins = package["devDependencies"]
    assert "dependencies" not in package and pins and lock[""]["devDependencies"] == pins
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pins.values())
    assert '"resolved"' not in text
    assert all(one["integrity"].startswith("sha512-") and one["dev"] for name, one in lock.items() if name)


@pytest.mark.parametrize("words", [("demo", "MODEL=m", "HOST=h", "PORT=7", "ARGS=--share"), ("wheel",)])
def test_make_calls_the_installed_commands(words: tuple[str, ...]) -> None:
    printed = _dry_run(*words)
    expected = {"demo": "-m glimpse_core demo --model m --host h --port 7 --share", "wheel": "hatchling build -d dist"}
    assert expected[words[0]] in printed


def test_the_citation_names_the_paper() -> None:
    paper = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["preferred-citation"]
    assert "2508.01548" in paper["journal"] and paper["url"] == PROJECT["project"]["urls"]["Paper"]
    assert paper["title"] in (ROOT / "spaces_readme.md").read_text(encoding="utf-8").replace("\n", " ")
    assert len(paper["authors"]) == 7
