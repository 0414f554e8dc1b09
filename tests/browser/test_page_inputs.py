"""The table of bad inputs through the page itself, and through the requests that any program can send in its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import Served, Visit, ask, paint, question, status, upload
from tests.support.bad_inputs import CONTROLS, PICTURES, QUESTIONS, TOLD, write

FINE = {"threshold": 0.5, "max_ratio": 100, "min_tokens": 1, "anchors": [], "budget": None, "max_new_tokens": 64}


def send(served: Served, handler: str, data: list[Any], key: str, said: Any = None) -> list[Any]:
    """What the browser sends for an event, sent without it: the handler's outputs, or its component's own error."""
    number = next(fn._id for fn in served.demo.fns.values() if getattr(fn.fn, "__name__", "") == handler)
    body = {"data": data, "fn_index": number, "session_hash": key, "event_data": said}
    httpx.post(f"{served.url}gradio_api/queue/join", json=body).raise_for_status()
    outputs: list[Any] = []
    address = f"{served.url}gradio_api/queue/data?session_hash={key}"
    with httpx.stream("GET", address, timeout=60) as stream:
        for line in stream.iter_lines():
            event = json.loads(line[6:]) if line.startswith("data:") else {}
            if event.get("msg") == "process_generating":
                outputs.append(event["output"]["data"])
            if event.get("msg") == "process_completed":
                return outputs if event["success"] else [event["output"]["error"]]
    raise AssertionError("the stream ended before the event did")


def test_every_bad_picture_is_explained_on_the_page(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    alert = page.get_by_role("alert")
    good = paint(tmp_path / "good.png", (200, 200), 0, 0)
    for number, (name, (_, message)) in enumerate(PICTURES.items()):
        upload(page, write(tmp_path, name))
        expect(alert).to_contain_text(message)
        if number % 6 == 5:  # the line is empty again, so that each message is its own
            upload(page, good)
            expect(status(page)).to_have_text("")
    upload(page, good)
    expect(status(page)).to_have_text("")
    ask(page, "Alive?")
    assert [session.question for session in fake.model.sessions] == ["Alive?"]


def test_bad_questions_are_explained_on_the_page(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    for text, message in QUESTIONS:
        if isinstance(text, str):
            ask(page, text, wait=False)
            expect(page.get_by_role("alert")).to_contain_text(message)
            expect(question(page)).to_have_value(text)
    ask(page, "Alive?")
    assert len(fake.model.sessions) == 1


def test_requests_in_the_pages_name_are_checked(fake: Served, visit: Visit) -> None:
    """Gradio's components refuse some values by themselves; whatever they let through, our own checks answer."""
    page = visit(fake)
    bad = [(FINE | {name: value}, None, message) for name, value, message in CONTROLS]
    ours = 0
    for controls, told, message in [*bad, *((FINE, told, message) for told, message in TOLD)]:
        said = send(fake, "run_again", [None, "What?", *controls.values()], "stranger", {"told": told})
        refused = len(said) == 1 and not isinstance(said[0], list)
        explained = message in json.dumps(said, ensure_ascii=False).replace('\\"', '"').replace("\\\\", "")
        assert refused or explained, (controls, told, said)
        ours += explained
    assert ours >= len(TOLD)  # what is painted no component of Gradio's knows
    for odd in ("told", 7, ["told"], {}):  # nothing told in it
        said = send(fake, "run_again", [None, " ", *FINE.values()], "odd", odd)
        assert "There is no question yet" in json.dumps(said)
    for text, message in QUESTIONS:
        if isinstance(text, str):  # Gradio makes text of all else
            said = send(fake, "run_ask", [None, text, *FINE.values()], "other")
            assert message in json.dumps(said, ensure_ascii=False), text
    assert all(session.masks == [] for session in fake.model.sessions)
    ask(page, "Alive?")
