"""`python -m tests.browser.screenshots`: the README's pictures of the page, written into assets/screenshots.

Three widths, light and dark, each in several states: as it opens, answering, answered, with the dial where the answer
breaks, the heat map, methods compared, and after something that cannot be used. `--only desktop-light` (or several such
names) makes some of them. Takes the demo model where its weights are there, else a tiny random one (and says so): such
pictures are for looking at the layout only.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from glimpse_core.inference.decoding import Answer
from tests.browser.conftest import (
    DESKTOP,
    FLAGS,
    PHONE,
    Served,
    ask,
    canvas,
    choose,
    executable,
    finished,
    ready,
    serve,
    still,
    upload,
    view,
)
from tests.browser.test_engine import HAS_DEMO, TINY

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "screenshots"
SIZES = {"desktop": DESKTOP, "laptop": {"width": 1280, "height": 800}, "phone": PHONE}
SCHEMES = ("light", "dark")
EXAMPLE = 1  # wide, so that everything is above the fold
LIMIT = 2_500_000  # bytes of all pictures together


@contextmanager
def unhurried() -> Iterator[threading.Event]:
    """While the event is set, every token takes long enough for a picture to be taken in the middle of an answer."""
    slow, step = threading.Event(), Answer.__next__

    def unhurried_step(answer: Answer) -> Any:
        if slow.is_set():
            time.sleep(0.4)
        return step(answer)

    with mock.patch.object(Answer, "__next__", unhurried_step):
        yield slow


def shoot(browser: Browser, served: Served, slow: threading.Event, size: str, scheme: Any, broken: Path) -> None:
    """All states in one size and color scheme."""
    scale = 2 if size == "phone" else 1
    page = browser.new_page(viewport=SIZES[size], color_scheme=scheme, device_scale_factor=scale)
    name = f"{size}-{scheme}"
    page.goto(served.url)
    ready(page)
    page.locator(".glimpse-badge[data-state=ready]").wait_for()
    take(page, f"{name}-first")
    choose(page, served, EXAMPLE)
    slow.set()
    ask(page, wait=False)
    page.wait_for_function("document.querySelector('.card.full .text')?.textContent.length > 3", timeout=90_000)
    take(page, f"{name}-running")
    slow.clear()
    finished(page)
    expect(page.locator(".band")).to_have_attribute("data-phase", "done")
    take(page, f"{name}-finished")
    break_it(page)
    take(page, f"{name}-dial")
    if size == "desktop":
        view(page, "Heat map")
        canvas(page).focus()
        page.keyboard.press("ArrowRight")
        take(page, f"{name}-heat")
    compare_methods(page)
    take(page, f"{name}-methods")
    page.get_by_role("tab", name="Ask").click()
    upload(page, broken)
    expect(page.get_by_role("alert")).to_be_visible()
    take(page, f"{name}-error")
    page.close()


def break_it(page: Page) -> None:
    """Turn the dial to the most tokens from which the answer is wrong; to one where none is."""
    wrong = page.locator(".band button[data-tone=wrong]")
    if wrong.count():
        wrong.last.click()
    else:
        page.locator("#glimpse-dial").press("Home")
    finished(page)


def compare_methods(page: Page) -> None:
    page.get_by_role("tab", name="Methods").click()
    page.locator("#methods-run").click()
    expect(page.locator("#glimpse-panel-methods .message")).to_have_text("All done.")


def take(page: Page, name: str) -> None:
    """A picture of what the window shows, as WebP: a tenth of the PNG, and nobody sees the difference."""
    still(page)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.save(FOLDER / f"{name}.webp", "WEBP", quality=64, method=6)


def main() -> None:
    names = [f"{size}-{scheme}" for size in SIZES for scheme in SCHEMES]
    parser = argparse.ArgumentParser(description="Take the README's pictures of the page.")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SIZE-SCHEME", help=", ".join(names))
    wanted = parser.parse_args().only
    FOLDER.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, unhurried() as slow:
        if not HAS_DEMO:
            print("The demo weights are not in assets/demo: a random model stands in, its answers are noise.")

            def load() -> Any:
                from glimpse_core.models import catalog
                from tests.support.tiny_folder import write_base

                return catalog.load(write_base(Path(folder) / "model"), glimpse=TINY)

            options["load"] = load
        broken = Path(folder) / "holiday.png"
        broken.write_text("This is no picture.")
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        with serve(**options) as served:
            for name in wanted:
                size, scheme = name.split("-")
                shoot(browser, served, slow, size, scheme, broken)
        browser.close()
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{FOLDER}: {len(wanted)} series, {total / 1e6:.2f} MB in all.")
    if total > LIMIT:
        raise SystemExit(f"The pictures have {total:,} bytes; at most {LIMIT:,} are wanted. Remove old ones.")


if __name__ == "__main__":
    main()
