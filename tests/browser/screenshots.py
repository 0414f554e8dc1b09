"""`python -m tests.browser.screenshots`: the README's pictures of the page, written into assets/screenshots.

Takes the demo model where its weights are there, else a tiny random one (and says so): such pictures are for looking
at the layout only.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import DESKTOP, FLAGS, PHONE, Served, ask, canvas, serve, view
from tests.browser.test_engine import HAS_DEMO, TINY

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "screenshots"


def shoot(browser: Browser, served: Served, folder: Path, size: dict[str, int], scheme: Any, name: str) -> None:
    """A finished answer with the kept tokens, and on a desktop the heat map, in one color scheme."""
    page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=2 if size is PHONE else 1)
    page.goto(served.url)
    page.wait_for_function("window.glimpse !== undefined")
    page.locator(".glimpse-badge[data-state=ready]").wait_for()
    ask(page)
    page.wait_for_timeout(500)
    take(page, folder / f"{name}.png")
    if size is DESKTOP:
        view(page, "Heat map")
        canvas(page).focus()
        page.keyboard.press("ArrowRight")
        take(page, folder / f"{name}-heat.png")
    page.close()


def take(page: Page, path: Path) -> None:
    """A screenshot in 256 colors: a third of the size, and nobody sees the difference."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        if not HAS_DEMO:
            print("The demo weights are not in assets/demo: a random model stands in, its answers are noise.")

            def load() -> Any:
                from glimpse_core import catalog
                from tests.tiny_folder import write_base

                return catalog.load(write_base(Path(folder)), glimpse=TINY)

            options["load"] = load
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with serve(**options) as served:
            for size, width in ((DESKTOP, "desktop"), (PHONE, "phone")):
                for scheme in ("light", "dark"):
                    shoot(browser, served, FOLDER, size, scheme, f"{width}-{scheme}")
        browser.close()


if __name__ == "__main__":
    main()
