"""What the words of an answer need, as the page streams and saves it, and as the API gives it."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator

from glimpse_core.glimpse.settings import to_json
from glimpse_core.types import Settings
from glimpse_core.ui.api import Api
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.holder import Holder
from glimpse_core.ui.record import SCHEMA
from glimpse_core.ui.results import load_results
from glimpse_core.ui.visitors import Visitors
from tests.browser.fake import FakeModel, FakeSession, needs_of

VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
DEFAULTS = to_json(Settings())
ASK = (["example:0"], "What is it?", DEFAULTS, 64)


def make_flow(results: Any = None, **options: Any) -> tuple[Flow, FakeModel]:
    model = FakeModel(pace=0.0, **options)
    gallery = Gallery(load_examples(), results)
    return Flow(Holder("fake", lambda: model), Visitors(4, 60), gallery, FakeSession.ask), model


def complete(updates: list[Any]) -> dict[str, Any]:
    """The attributions, by the answer's side."""
    return {update["side"]: update["words"] for update in updates if "words" in update}


def test_both_answers_are_looked_into_as_they_were_given() -> None:
    pages, model = make_flow()
    list(pages.ask("me", *ASK))
    (session,) = model.sessions
    kept, answers = pages.visitors.get("me").kept, dict(session.counters)
    updates = list(pages.words("me", *ASK))
    assert model.sessions == [session] and session.counters == answers  # nothing is asked or answered again
    assert [update["side"] for update in updates] == sorted((update["side"] for update in updates), reverse=True)
    assert {16, 48} <= {update["tries"] for update in updates}
    everything = torch.ones_like(kept)
    for (side, found), mask in zip(complete(updates).items(), (kept, everything), strict=True):
        assert np.frombuffer(base64.b64decode(found["kept"]), np.uint8).tolist() == mask.int().tolist()
        assert [word["text"] for word in found["words"]] == found["text"].split()
        assert [(word["depends"], tuple(word["needs"])) for word in found["words"]] == needs_of(found["text"], mask)
        saved = pages.visitors.get("me").record["answers"][side]
        assert saved["text"] == found["text"]
        assert [word["needs"] for word in saved["words"]["words"]] == [word["needs"] for word in found["words"]]
    VALIDATOR.validate(pages.visitors.get("me").record)


def test_an_answer_from_other_tokens_is_given_first_and_is_not_in_the_record() -> None:
    pages, model = make_flow()
    list(pages.ask("me", *ASK))
    (session,) = model.sessions
    before = session.counters["answers"]
    found = complete(list(pages.words("me", *ASK[:2], DEFAULTS | {"budget": 2}, 64)))
    assert session.counters["answers"] == before + 1 and model.sessions == [session]
    assert sum(base64.b64decode(found["kept"]["kept"])) == 2 and found["kept"]["text"].startswith("I see little")
    saved = pages.visitors.get("me").record["answers"]
    assert "words" not in saved["kept"] and "words" in saved["full"]


def test_the_full_answer_keeps_its_words_while_the_other_is_given_again() -> None:
    pages, _ = make_flow()
    list(pages.ask("me", *ASK))
    list(pages.words("me", *ASK))
    list(pages.again("me", *ASK[:2], DEFAULTS | {"budget": 2}, 64))
    saved = pages.visitors.get("me").record["answers"]
    assert "words" not in saved["kept"] and "words" in saved["full"]
    list(pages.ask("me", ASK[0], "And this?", *ASK[2:]))
    assert all("words" not in answer for answer in pages.visitors.get("me").record["answers"].values())


def test_a_question_that_is_not_known_is_asked_and_its_session_let_go() -> None:
    pages, model = make_flow()
    assert set(complete(list(pages.words("me", *ASK)))) == {"kept", "full"}
    assert [session.question for session in model.sessions] == ["What is it?"]
    assert pages.visitors.get("me").session is None and pages.visitors.get("me").record is None


def test_of_a_stored_result_the_words_can_be_saved() -> None:
    examples = load_examples()
    stored = load_results("demo")[examples[0].path.name]
    pages, _ = make_flow({examples[0].path.name: stored})
    said = stored.record["answers"]["kept"]["text"]
    pages.holder.wait().say = lambda kept, total: said
    mask = [on for row in stored.record["pictures"][0]["kept"] for on in row]
    edits = {"painted": [token for token, on in enumerate(mask) if on], "erased": [
        token for token, on in enumerate(mask) if not on]}  # fmt: skip
    list(pages.words("me", ["example:0"], stored.question, DEFAULTS | edits, 64))
    saved = pages.visitors.get("me").record
    assert (
        saved["answers"]["kept"]["words"]["kept"] == edits["painted"] and saved["created"] == stored.record["created"]
    )
    assert pages.visitors.get("me").sources == ["example:0"] and "words" not in stored.record["answers"]["kept"]
    VALIDATOR.validate(saved)


def test_it_can_be_stopped_at_any_update() -> None:
    for steps in range(1, 4):
        pages, model = make_flow(rounds=50)
        list(pages.ask("me", *ASK))
        updates = pages.words("me", *ASK, 5)
        model.pace = 0.06  # longer than the page's pace: every round is an update
        for _ in range(steps):
            assert "words" not in next(updates)
        pages.stop("me", 5)
        assert list(updates) == []
        assert "words" not in pages.visitors.get("me").record["answers"]["kept"]
    pages.stop("me", 9)
    assert list(pages.words("me", *ASK, 9)) == []


def test_it_waits_in_the_queue_and_can_leave_it() -> None:
    pages, model = make_flow()
    list(pages.ask("me", *ASK))
    with pages.queue.ticket() as ticket:
        assert ticket.ahead(0) == 0
        found: list[Any] = []
        waiting = threading.Thread(target=lambda: found.extend(pages.words("me", *ASK, 1)))
        waiting.start()
        while not pages.visitors.get("me").waiting:
            assert waiting.is_alive()
        pages.stop("me", 1)
        waiting.join(20)
        assert not waiting.is_alive() and found == [] and model.sessions[0].attributed == []


@pytest.mark.parametrize(
    ("settings", "question", "problem"), [({"budget": -1}, "What?", "Expected an integer"), ({}, " ", "no question")]
)
def test_a_wrong_request_is_explained(settings: dict[str, Any], question: str, problem: str) -> None:
    pages, model = make_flow()
    (update,) = pages.words("me", ASK[0], question, DEFAULTS | settings, 64)
    assert problem in update["problem"] and model.sessions == []


def test_a_failure_is_told_in_words() -> None:
    pages, model = make_flow()
    list(pages.ask("me", *ASK))
    model.sessions[0].attribution_steps = None
    (update,) = pages.words("me", *ASK)
    assert "Something failed" in update["problem"]


def test_the_api_gives_the_record_with_words(tmp_path: Path) -> None:
    pages, model = make_flow()
    api = Api(pages, dict)
    picture = str(load_examples()[0].path)
    made = api.words([picture], "What is it?", {"threshold": 0.4, "max_new_tokens": 6})
    VALIDATOR.validate(made)
    kept = [on for row in made["pictures"][0]["kept"] for on in row]
    for side, mask in (
        ("kept", torch.tensor(kept, dtype=torch.bool)),
        ("full", torch.ones(len(kept), dtype=torch.bool)),
    ):
        answer = made["answers"][side]
        found = [(word["depends"], tuple(word["needs"])) for word in answer["words"]["words"]]
        assert found == needs_of(answer["text"], mask) and answer["words"]["kept"] == mask.nonzero().flatten().tolist()
    plain = api.ask([picture], "What is it?", {"threshold": 0.4})
    assert all("words" not in answer for answer in plain["answers"].values())
    model.say = lambda kept, total: ""
    silent = api.words([picture], "What is it?", {})
    assert all("words" not in answer for answer in silent["answers"].values())
    with pytest.raises(gr.Error, match="no picture"):
        api.words([], "What is it?", {})
