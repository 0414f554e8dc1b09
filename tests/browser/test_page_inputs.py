"""The table of bad inputs through the page itself, and through its endpoints, to which any program can send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served, Visit, ask, paint, question, status, upload
from tests.support.bad_inputs import LENGTHS, NOT_HERE, PICTURES, QUESTIONS, SETTINGS, write

VISITOR = "a visitor of this test"


def send(served: Served, name: str, payload: Any, files: Any = None) -> list[Any]:
    """What the page's scripts send, sent without a browser: the stream's messages, or what an error event says."""
    address = f"{served.url}gradio_api/call/{name}"
    begun = httpx.post(address, json={"data": [payload, files]}).raise_for_status().json()
    messages: list[Any] = []
    with httpx.stream("GET", f"{address}/{begun['event_id']}", timeout=60) as stream:
        event = ""
        for line in stream.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            if line.startswith("data:"):
                data = json.loads(line.removeprefix("data:"))
                if event == "generating":
                    messages.append(data[0])
                if event == "complete":
                    return messages
                if event == "error":
                    return [data]
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
    """The endpoints of the page take any JSON: whatever it is, an update names what is wrong, and no model runs."""
    page = visit(fake)
    fine = {"visitor": VISITOR, "example": 0, "question": "What?", "length": 64}
    bad = [({"question": given}, message) for given, message in QUESTIONS]
    bad += [({"settings": given}, message) for given, message in SETTINGS]
    bad += [({"length": given}, message) for given, message in LENGTHS]
    bad += [({"example": given}, "There is no picture yet") for given in (-1, 1.0, True, "0", None, [0])]
    for name in ("page_ask", "page_again"):
        for given, message in bad:
            (last,) = send(fake, name, fine | given)
            assert last == {"status": last["status"]} and last["status"]["kind"] == "error", (name, given, last)
            assert message in last["status"]["text"], (name, given, last)
    assert fake.model.sessions == []
    for given, message in NOT_HERE:
        assert message in send(fake, "page_ask", fine | {"settings": given})[-1]["status"]["text"]
    assert [session.masks for session in fake.model.sessions] == [[]] * len(NOT_HERE)
    ask(page, "Alive?")


@pytest.mark.parametrize("name", ["page_ask", "page_again", "page_band", "page_methods"])
def test_requests_in_no_pages_name_are_refused(fake: Served, name: str) -> None:
    """A payload that is no object names no visitor; and work without a name could not be told from that of others."""
    for payload in (None, 7, "visitor", ["visitor"], {}, {"visitor": "short"}, {"visitor": 7}, {"visitor": "v" * 65}):
        assert "does not say which page it is from" in json.dumps(send(fake, name, payload)), payload
    assert fake.model.sessions == []


def test_a_stop_that_arrives_before_its_question_ends_that_one_only(fake: Served) -> None:
    fine = {"visitor": VISITOR + ", another", "example": 0, "question": "What?", "length": 64}
    send(fake, "page_stop", {"visitor": fine["visitor"], "turn": 7})
    assert [message["status"]["text"] for message in send(fake, "page_ask", fine | {"turn": 7})] == ["Stopped."]
    assert fake.model.sessions == []
    assert send(fake, "page_ask", fine | {"turn": 8})[-1]["answers"]["verdict"]["same"] is not None


def test_files_that_were_not_uploaded_are_refused(fake: Served, tmp_path: Path) -> None:
    """No endpoint opens a path that a caller names."""
    path = paint(tmp_path / "secret.png", (200, 200), 0, 0)
    for named in (str(path), __file__, "/etc/passwd"):
        files = [{"path": named, "meta": {"_type": "gradio.FileData"}}]
        (last,) = send(fake, "page_ask", {"visitor": VISITOR, "question": "What?"}, files)
        assert "error" in last, last
    assert fake.model.sessions == []
