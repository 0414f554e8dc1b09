"""The built site: no warning, nothing loaded from another server, and broken links and anchors are errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents import ROOT, read

BUILD = """
import logging
import sys
from mkdocs.commands.build import build
from mkdocs.config import load_config
logging.basicConfig()
build(load_config("mkdocs.yml", docs_dir=sys.argv[1], site_dir=sys.argv[2], nav=["index.md"], plugins=["search"]))
"""
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
QUIET = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=QUIET, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(HTMLParser):
    """The addresses that a page loads by itself; links that a reader may follow are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if tag in LOADING:
            self.addresses.append(given.get(LOADING[tag]) or "")
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(given.get("href") or "")
        self.addresses += re.findall(r"url\(([^)]*)\)", given.get("style") or "")


def loaded(html: str) -> list[str]:
    parser = Loaded()
    parser.feed(html)
    return parser.addresses


def elsewhere(address: str) -> bool:
    return re.match(r"[\"']?(https?:)?//", address) is not None


def test_every_page_is_there(site: Path) -> None:
    def pages(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for inner in (entry.values() if isinstance(entry, dict) else entry) for page in pages(inner)]

    text = re.sub(r"!!python\S+", "", read(ROOT / "mkdocs.yml"))
    named = pages(yaml.safe_load(text)["nav"])
    assert len(named) > 25 and len(named) == len(set(named))
    for page in named:
        html, source = read(site / page.replace(".md", ".html")), ROOT / "docs" / page
        tables = re.findall(r"^\| ?:?-", read(source if source.is_file() else ROOT / page), re.MULTILINE)
        assert "<h1" in html and html.count("<table>") == len(tables), "a table that Markdown does not take for one"
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert written <= set(named), "a page that the menu does not lead to"


def test_nothing_is_loaded_from_another_server(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        addresses = loaded(read(page))
        assert addresses and not list(filter(elsewhere, addresses)), page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", read(sheet)), sheet


def test_what_is_loaded_from_another_server_would_be_found() -> None:
    html = '<link rel="stylesheet" href="https://a/b.css"><script src="//a/b.js"></script><a href="https://a">a</a>'
    assert list(filter(elsewhere, loaded(html + '<img src="a.png">'))) == ["https://a/b.css", "//a/b.js"]


def test_the_functions_are_explained(site: Path) -> None:
    assert 'id="glimpse_core.inference.session.Session.ask"' in read(site / "reference" / "inference.html")
    assert 'id="glimpse_core.pruners.build.build"' in read(site / "reference" / "pruners.html")


def test_files_of_the_repository_come_along(site: Path) -> None:
    for file in (
        "assets/sweep/sweep.png",
        "assets/table/worst_1.png",
        "assets/demo/TRAINING.html",
        "CONTRIBUTING.html",
    ):
        assert (site / file).is_file()
    assert 'href="docs/' not in read(site / "CONTRIBUTING.html")
    assert not list(site.rglob("*.py"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fine](index.md#a-title), [too](../assets/NOTICE.md)", None),
        ("[broken](nowhere.md)", "nowhere.md"),
        ("[broken](index.md#nowhere)", "#nowhere"),
        ("[broken](../assets/nowhere.md)", "nowhere.md"),
        ("![broken](../assets/nowhere.png)", "nowhere.png"),
        ("[broken](../assets/NOTICE.md#nowhere)", "#nowhere"),
    ],
)
def test_broken_links_and_anchors_are_errors(tmp_path: Path, text: str, message: str | None) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A title\n\n{text}\n")
    command = [sys.executable, "-c", BUILD, str(tmp_path / "docs"), str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=QUIET, capture_output=True, text=True)
    assert (done.returncode == 0) == (message is None), done.stderr
    assert message is None or message in done.stderr
