"""Widths and colors, as far as a program can judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.browser.conftest import DESKTOP, PHONE, Served, ask


def opened(browser: Browser, fake: Served, size: dict[str, int], scheme: Any) -> Page:
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(fake.url)
    page.wait_for_function("window.glimpse !== undefined")
    return page


def luminance(color: str) -> float:
    return sum(float(part) for part in color.removeprefix("rgb(").rstrip(")").split(",")[:3]) / 3


def test_phone_width_fits_and_reads_in_order(browser: Browser, fake: Served, tmp_path: Path) -> None:
    page = opened(browser, fake, PHONE, "light")
    ask(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for name in ("#glimpse-title p", "#glimpse-go", "#glimpse-stop", ".frame", ".tabs", ".card.kept", "#glimpse-foot"):
        box = page.locator(name).first.bounding_box()
        assert box["x"] >= 8 and box["x"] + box["width"] <= PHONE["width"] - 8, (name, box)
    tops = [
        page.locator(name).first.bounding_box()["y"]
        for name in ("#glimpse-strip", "#glimpse-question", ".frame", "#glimpse-threshold", ".card.full", ".card.kept")
    ]
    assert tops == sorted(tops)
    for name in ("#glimpse-go", "#glimpse-stop", "#glimpse-again"):
        assert page.locator(name).bounding_box()["height"] >= 44
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert (tmp_path / "phone.png").stat().st_size > 20_000
    page.close()


def test_dark_mode_is_dark_everywhere(browser: Browser, fake: Served) -> None:
    page = opened(browser, fake, DESKTOP, "dark")
    ask(page)
    read = "(name) => getComputedStyle(document.querySelector(name))"
    assert luminance(page.evaluate(f"({read})('body').backgroundColor")) < 60
    for name in (".card.full .text", ".count", ".glimpse-title, #glimpse-title h1", ".question"):
        assert luminance(page.evaluate(f"({read})('{name}').color")) > 150, name
    assert page.evaluate(f"({read})('.glimpse-canvas').getPropertyValue('--glimpse-veil').trim()") == "#0b0f19"
    page.close()
