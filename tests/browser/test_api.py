"""The named endpoints through `gradio_client`, and as MCP tools where `mcp` is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image

from app import launch_options
from glimpse_core.glimpse.settings import FIELDS, LENGTH, value_of
from glimpse_core.glimpse.settings.codec import BY_NAME
from glimpse_core.inference.choice import choose
from glimpse_core.types import Selection, Settings
from glimpse_core.ui import api
from glimpse_core.ui.record import SCHEMA, settings_of
from tests.browser.conftest import Served, paint
from tests.browser.fake import PATCH, needs_of
from tests.support.bad_inputs import LENGTHS, PICTURES, QUESTIONS, SETTINGS, write
from tests.support.some_settings import differing, one_each, some_settings

EARLIER = {"max_ratio": "keep_at_most", "min_tokens": "keep_at_least", "max_new_tokens": "longest_answer"}


@pytest.fixture(scope="module")
def client(fake_page: Served) -> Iterator[Client]:
    client = Client(fake_page.url, verbose=False)
    yield client
    client.close()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    return paint(tmp_path / "red.png", (6 * PATCH, 4 * PATCH), 0, 5)


def test_endpoints_are_named_typed_and_described(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/ask", "/words", "/band", "/score", "/overlay", "/model"}
    answered = (*FIELDS, LENGTH)
    of = {"/ask": answered, "/words": answered, "/band": answered, "/score": FIELDS, "/overlay": FIELDS}
    for name, fields in of.items():
        found = {item["parameter_name"]: item for item in named[name]["parameters"]}
        own = ["pictures", "question", *{"/overlay": ["view"], "/band": ["budgets"]}.get(name, [])]
        always = [*own, "threshold", "keep_at_most", "keep_at_least"]
        assert list(found)[: len(always)] == always  # for calls by position
        for field in fields:
            for parameter in {field.name, EARLIER.get(field.name, field.name)}:
                kind = "number" if field.numeric else "string"
                assert found[parameter]["type"]["type"] == kind and found[parameter]["parameter_has_default"]
        assert found["question"]["type"]["type"] == "string"
        assert found["pictures"]["type"]["type"] == "array"
    assert found["view"]["parameter_default"] == "kept"
    document = httpx.get(f"{client.src}gradio_api/openapi.json").text
    assert "one to four pictures twice" in document


def test_ask_gives_a_record_of_exactly_this_question(client: Client, fake: Served, red: Path) -> None:
    result = client.predict(
        pictures=[handle_file(red)], question="What is red?", threshold=0.9, keep_at_least=3, api_name="/ask"
    )
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(result)
    session = fake.model.sessions[-1]
    assert session.question == result["question"] == "What is red?"
    assert (
        np.ravel(result["pictures"][0]["kept"]).tolist() == session.select(Selection(0.9, None, 3)).mask.int().tolist()
    )
    assert result["pictures"][0]["kept"][0][5] == 1 and result["tokens"] == {
        "total": 24,
        "kept": 3,
        "prompt": 44,
        "reused": 0,
    }
    assert result["answers"]["full"]["text"].startswith("I see everything")
    assert session.counters["answers"] == 2


def test_words_say_which_tokens_they_need(client: Client, fake: Served, red: Path) -> None:
    asked = {"pictures": [handle_file(red)], "question": "What is red?", "max_new_tokens": 5}
    result = client.predict(**asked, threshold=0.9, min_tokens=3, api_name="/words")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(result)
    kept = torch.tensor(np.ravel(result["pictures"][0]["kept"]), dtype=torch.bool)
    for side, mask in (("kept", kept), ("full", torch.ones_like(kept))):
        answer = result["answers"][side]
        words = [(word["depends"], tuple(word["needs"])) for word in answer["words"]["words"]]
        assert words == needs_of(answer["text"], mask) and int(kept.sum()) == 3
    assert all("words" not in answer for answer in client.predict(**asked, api_name="/ask")["answers"].values())


def test_band_answers_at_every_budget(client: Client, fake: Served, red: Path) -> None:
    asked = {"pictures": [handle_file(red)], "question": "What is red?", "api_name": "/band"}
    result = client.predict(**asked, budgets="24, 1,3", painted="20", max_new_tokens=5)
    session = fake.model.sessions[-1]
    assert (result["question"], result["model"], result["tokens"]) == ("What is red?", "fake", 24)
    assert [answer["budget"] for answer in result["answers"]] == [1, 3, 24]
    assert [sum(mask) for mask in session.bands[-1]] == [answer["kept"] for answer in result["answers"]] == [2, 4, 24]
    assert all(mask[20] and mask[5] for mask in session.bands[-1]), "painted, and the most relevant one"
    assert [answer["text"][:10] for answer in result["answers"]] == ["I see litt", "I see ever", "I see ever"]
    assert {len(answer["tokens"]) for answer in result["answers"]} == {5}
    assert {answer["finished"] for answer in result["answers"]} == {"length"}
    assert len(fake.model.sessions) == 1
    assert [answer["budget"] for answer in client.predict(**asked)["answers"]] == [1, 2, 3, 4, 6, 8, 10, 13, 18, 24]
    for budgets, message in (("few", "Expected auto, or numbers"), ("0", "Expected integers from 1 to 24")):
        with pytest.raises(AppError, match=message):
            client.predict(**asked, budgets=budgets)


@given(settings=some_settings(24), length=st.integers(1, 256))
@hypothesis.settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_settings_come_back_from_a_call(
    client: Client, fake: Served, red: Path, settings: Settings, length: int
) -> None:
    """Through the server and back in the record; the mask is what these settings choose."""
    said = {field.name: value_of(settings, field) for field in FIELDS if field.numeric}
    said |= {field.name: field.to_text(value_of(settings, field)) for field in FIELDS if not field.numeric}
    result = client.predict(
        pictures=[handle_file(red)], question="Red?", max_new_tokens=length, **said, api_name="/ask"
    )
    assert differing(settings_of(result), settings) == []
    assert result["sampling"]["max_new_tokens"] == length
    session = fake.model.sessions[-1]
    expected = choose(session.logits, session.grids, settings)
    assert np.ravel(result["pictures"][0]["kept"]).tolist() == expected.mask.int().tolist() == session.masks[-1]


@pytest.mark.parametrize("name", one_each())
def test_every_setting_is_a_parameter_of_every_endpoint(client: Client, fake: Served, red: Path, name: str) -> None:
    settings = one_each()[name]
    value = value_of(settings, BY_NAME[name])
    said = {name: value if BY_NAME[name].numeric else BY_NAME[name].to_text(value)}
    for endpoint in ("/ask", "/score"):
        result = client.predict(pictures=[handle_file(red)], question="Red?", **said, api_name=endpoint)
        assert settings_of(result) == settings
    drawn = client.predict(pictures=[handle_file(red)], question="Red?", **said, api_name="/overlay")
    kept = choose(fake.model.sessions[-1].logits, fake.model.sessions[-1].grids, settings).mask
    assert drawn[0]["caption"] == f"{int(kept.sum())} of 24 tokens kept"


def test_earlier_names_and_positions_still_work(client: Client, fake: Served, red: Path) -> None:
    named = {"threshold": 0.3, "keep_at_most": 33.3, "keep_at_least": 4, "longest_answer": 8}
    for result in (
        client.predict(pictures=[handle_file(red)], question="Red?", **named, api_name="/ask"),
        client.predict([handle_file(red)], "Red?", *named.values(), api_name="/ask"),
    ):
        assert settings_of(result) == Settings(Selection(0.3, 0.333, 4))
        assert result["sampling"]["max_new_tokens"] == 8


def test_score_answers_nothing(client: Client, fake: Served, red: Path) -> None:
    result = client.predict(pictures=[handle_file(red), handle_file(red)], question="Red?", api_name="/score")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(result)
    assert result["answers"] == {"full": None, "kept": None} and len(result["pictures"]) == 2
    assert fake.model.sessions[-1].counters["answers"] == 0


def test_overlay_draws_the_kept_tokens(client: Client, fake: Served, red: Path) -> None:
    drawn = client.predict(pictures=[handle_file(red)], question="Red?", view="kept only", api_name="/overlay")
    assert drawn[0]["caption"] == "1 of 24 tokens kept"
    picture = Image.open(drawn[0]["image"]).convert("RGB")
    assert picture.size == (6 * PATCH, 4 * PATCH)
    assert picture.getpixel((5 * PATCH + 14, 14))[0] > 230 and picture.getpixel((14, 14)) == (229, 231, 235)


def test_model_says_what_runs(client: Client) -> None:
    ready = {"state": "ready", "title": "demo", "detail": "cpu · float32 · sdpa", "trained": True}
    assert client.predict(api_name="/model") == ready


# A call by position, without names, gives every parameter: those behind the first six.
REST = [None, None, None, "", "", "", "", 0, None]


def refused(client: Client, said: str, **call: Any) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**call, api_name="/ask")
    assert said in str(caught.value), (call, caught.value)


def test_the_table_of_bad_inputs_is_explained_to_callers(client: Client, fake: Served, red: Path) -> None:
    good = [handle_file(red)]
    for name, (_, said) in PICTURES.items():
        refused(client, said, pictures=[handle_file(write(red.parent, name))], question="Red?")
    for question, said in QUESTIONS:
        if isinstance(question, str) or question is None:
            refused(client, said, pictures=good, question=question)
    numbers = [
        (*entry, said) for settings, said in SETTINGS if isinstance(settings, dict) for entry in settings.items()
    ]
    numbers = [one for one in numbers if one[0] in BY_NAME and BY_NAME[one[0]].numeric]
    numbers += [(LENGTH.name, length, said) for length, said in LENGTHS]
    numbers = [one for one in numbers if isinstance(one[1], (int, float)) and not isinstance(one[1], bool)]
    assert len(numbers) >= 12
    for name, value, said in numbers:
        refused(client, said.replace(" is ", f" ({name}) is "), pictures=good, question="Red?", **{name: value})
    for name, value, said in (
        ("keep_at_most", 101, "(keep_at_most) is 101. Expected a percentage from 0 to 100."),
        ("keep_at_most", -1, "(keep_at_most) is -1"),
        ("keep_at_least", -1, "(keep_at_least) is -1"),
    ):
        refused(client, said, pictures=good, question="Red?", **{name: value})
    for parameter, value in {"anchors": "middle", "painted": "3-1", "erased": "x", "control": "odd"}.items():
        refused(client, f"({parameter})", pictures=good, question="Red?", **{parameter: value})
    both = {"keep_at_most": 50, "max_ratio": 0.5}
    refused(client, "keep_at_most and max_ratio were both given", pictures=good, question="Red?", **both)
    refused(client, "Expected none with more than one picture", pictures=good * 2, question="Red?", anchors="tl")
    refused(client, "There is no picture yet", pictures=[], question="Red?")
    refused(client, "5 pictures were given. Expected at most 4", pictures=good * 5, question="Red?")
    assert fake.model.sessions == []
    refused(client, "The edits name tokens [24]", pictures=good, question="Red?", painted="24")
    assert client.predict(pictures=good, question="Alive?", api_name="/score")["question"] == "Alive?"
    with pytest.raises(AppError, match='View is "x-ray". Expected one of heat, kept, kept only, picture.'):
        client.predict(pictures=good, question="Red?", view="x-ray", api_name="/overlay")


@pytest.mark.parametrize("name", ["secret.png", "/etc/passwd", "example:0"])
def test_no_endpoint_reads_a_file_that_was_not_sent(fake: Served, red: Path, name: str) -> None:
    """Straight to the server, since `gradio_client` would upload a local file first."""
    path = str(red.rename(red.with_name(name))) if name.endswith("png") else name
    address = f"{fake.url}gradio_api/call/ask"
    for picture in (path, {"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}):
        call = httpx.post(address, json={"data": [[picture], "What is in it?", 0.5, 100, 1, 8, *REST]})
        if call.status_code == 200:
            answer = httpx.get(f"{address}/{call.json()['event_id']}", timeout=60).text
            assert "event: error" in answer and "event: complete" not in answer
    assert fake.model.sessions == []


def test_an_engine_failure_is_a_sentence(client: Client, fake: Served, red: Path) -> None:
    fake.model.fail = RuntimeError("secret detail")
    with pytest.raises(AppError, match="Something failed inside the page") as caught:
        client.predict(pictures=[handle_file(red)], question="Red?", api_name="/ask")
    assert "secret" not in str(caught.value)


def test_page_events_are_no_endpoints(client: Client) -> None:
    assert not client.view_api(return_format="dict", print_info=False)["unnamed_endpoints"]


# MCP ------------------------------------------------------------------------------------------------------------


def test_mcp_is_off_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "find_spec", lambda name: None)
    assert launch_options()["mcp_server"] is False
    monkeypatch.setattr(api, "find_spec", lambda name: object())
    assert launch_options()["mcp_server"] is True


def test_mcp_tools_answer(fake: Served, red: Path) -> None:
    pytest.importorskip("mcp", reason='MCP is an extra: pip install "gradio[mcp]"')
    import anyio
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk() -> tuple[dict, dict]:
        async with (
            streamable_http_client(f"{fake.url}gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            return tools, (await session.call_tool(next(name for name in tools if name.endswith("model")), {})).content

    tools, content = anyio.run(talk)
    assert {name.rpartition("_")[2] for name in tools} == {"ask", "words", "band", "score", "overlay", "model"}
    ask = next(tool for name, tool in tools.items() if name.endswith("ask"))
    assert "twice" in ask.description and {field.name for field in FIELDS} <= set(ask.inputSchema["properties"])
    assert "ready" in content[0].text
