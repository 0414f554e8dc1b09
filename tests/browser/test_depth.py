"""The view of one layer: tokens disappear on the stage where the engine drops them."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from glimpse_core import pruners
from tests.browser.conftest import PHONE, Served, Visit, ask, browser_mask, canvas, view
from tests.browser.test_engine import real_page  # noqa: F401 - a fixture

RUNNING = "window.glimpse.stage.running.reduce((sum, one) => sum + one, 0)"


def slider(page: Page) -> Locator:
    return page.locator(".fade input")


def pixels(page: Page) -> np.ndarray:
    """The canvas: (height, width, 3)."""
    data = page.evaluate("document.querySelector('.glimpse-stage .frame canvas').toDataURL('image/png').split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def test_every_layer_runs_as_many_tokens_as_in_the_engine(real_page: Served, visit: Visit) -> None:  # noqa: F811
    page = visit(real_page)
    ask(page)
    session = real_page.session
    schedule = session.prune(pruners.build("glimpse", session.model)).schedules[0]
    view(page, "Layers")
    found = []
    for layer in range(len(schedule.alive)):
        slider(page).fill(str(layer))
        expect(page.locator(".fade span")).to_have_text(f"Layer {layer}")
        found.append(page.evaluate(RUNNING))
        last = len(schedule.alive) - 1
        words = f"{found[-1]} of {schedule.total} tokens run in layer {layer} (0 to {last})"
        expect(page.locator(".count")).to_have_text(words)
    assert tuple(found) == schedule.alive and len(set(found)) == 2
    keeps = f"The cache of every layer keeps {schedule.cached[0]}."
    assert set(schedule.cached) == {schedule.cached[0]}
    expect(page.get_by_role("img", name=keeps)).to_be_visible()


def test_tokens_leave_the_stage_after_layer_k(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    canvas(page).blur()
    page.mouse.move(0, 0)
    view(page, "Kept")
    kept = pixels(page)
    view(page, "Picture")
    plain = pixels(page)
    mask = np.array(browser_mask(page), dtype=bool)
    assert 0 < mask.sum() < mask.size
    view(page, "Layers")
    keep = fake.model.config.keep_layer
    for layer in range(6):
        slider(page).fill(str(layer))
        expect(page.locator(".fade span")).to_have_text(f"Layer {layer}")
        shown = pixels(page)
        if layer > keep:
            assert (shown == kept).all()
        else:  # all of the picture, in a frame
            assert (shown[8:-8, 8:-8] == plain[8:-8, 8:-8]).all() and (shown != plain).any()
    slider(page).press("ArrowLeft")
    expect(page.locator(".fade span")).to_have_text("Layer 4")
    page.wait_for_function("new URLSearchParams(location.search).get('layer') === '4'")
    page.reload()
    expect(page.locator(".fade span")).to_have_text("Layer 4")
    expect(page.get_by_role("radio", name="Layers")).to_be_checked()


def test_a_phone_has_the_slider_too(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    page.set_viewport_size(PHONE)
    ask(page)
    expect(page.locator(".fade")).to_be_hidden()
    view(page, "Layers")
    expect(page.locator(".fade")).to_be_visible()
    slider(page).fill("5")
    expect(page.locator(".count")).to_contain_text("tokens run in layer 5")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
