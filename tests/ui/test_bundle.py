"""The page's modules in one file: made from them as they are, and left aside where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

from glimpse_core.ui.bundle import BUNDLE, MAIN, WEB, digest, entry


def test_the_bundle_is_made_from_the_modules_as_they_are() -> None:
    assert entry().name == BUNDLE, "run `make bundle`"
    assert (WEB / BUNDLE).stat().st_size < 200_000


def test_a_bundle_of_other_modules_is_left_aside(tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(WEB, web)
    assert entry(web).name == BUNDLE and digest(web) == digest()
    module = web / "lib" / "dom.js"
    module.write_text(module.read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    assert entry(web).name == MAIN
    shutil.copytree(WEB / "lib", web / "lib", dirs_exist_ok=True)
    assert entry(web).name == BUNDLE
    (web / "further.js").write_text("export {};\n")
    assert entry(web).name == MAIN
    (web / "further.js").unlink()
    (web / BUNDLE).unlink()
    assert entry(web).name == MAIN
