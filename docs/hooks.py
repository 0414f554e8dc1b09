"""MkDocs hooks: pages of this folder may link to files of the repository, as they do when read in the repository.

A relative link that leads out of `docs` (`../assets/sweep/sweep.png`, `../CONTRIBUTING.md`) brings its target onto the
site, under its path in the repository, and is rewritten to lead there. Markdown files become pages and may link in
turn; everything else is copied.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
DOCS = PurePosixPath("docs")


def on_files(files: Files, config: Any) -> Files:
    """Add every file of the repository that a page leads to."""
    root = Path(config["config_file_path"]).parent
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for link in LINK.finditer(page.content_string):
            target = _resolve(_in_repository(page), link[2])
            if target and files.get_file_from_path(_on_site(target)) is None and (root / target).is_file():
                added = File.generated(config, _on_site(target), abs_src_path=str(root / target))
                files.append(added)
                waiting += [added] if added.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite the links of a page from places in the repository to places on the site."""
    source = _in_repository(page.file)

    def rewritten(link: re.Match[str]) -> str:
        target = _resolve(source, link[2])
        if target is None or files.get_file_from_path(_on_site(target)) is None:
            return link[0]  # another site, or broken: MkDocs says so
        start = PurePosixPath(page.file.src_uri).parent
        return f"{link[1]}{os.path.relpath(_on_site(target), start)}{link[3]}"

    return LINK.sub(rewritten, markdown)


def _resolve(source: PurePosixPath, link: str) -> PurePosixPath | None:
    """The path in the repository that a link of `source` leads to; None for what is not a relative link."""
    if re.match(r"[a-z]+:|/", link):
        return None
    path = os.path.normpath(source.parent / link)
    return None if path.startswith("..") else PurePosixPath(path)


def _on_site(path: PurePosixPath) -> str:
    """Pages of `docs` stand at the top of the site; other files where the repository has them."""
    return str(path.relative_to(DOCS) if path.is_relative_to(DOCS) else path)


def _in_repository(file: File) -> PurePosixPath:
    return PurePosixPath(file.src_uri) if file.generated_by else DOCS / file.src_uri
