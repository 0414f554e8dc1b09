"""Metrics against cases worked out by hand, slow definitions, and a local stand-in for the judge's server."""

import itertools
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.metrics import METRICS, Judge
from glimpse_core.evaluation.metrics.text import levenshtein
from glimpse_core.evaluation.metrics.vqa import normalize
from glimpse_core.evaluation.metrics.yes_no import says_yes


def score(metric, answer, *accepted):
    return METRICS[metric]().score("?", answer, accepted)


def test_exact_and_relaxed():
    assert score("exact", " It is red.\n", "It is red.") == 1
    assert score("exact", "it is red.", "It is red.") == 0
    assert score("relaxed", "It  is RED", "it is red.") == 1
    assert score("relaxed", "reddish", "red") == 0


def slow_distance(a, b):
    """Fewest edits, by the definition: recursion over all choices."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1, slow_distance(a[1:], b[1:]) + (a[0] != b[0])
    )  # fmt: skip


def test_levenshtein_equals_its_definition():
    rng = random.Random(0)
    for _ in range(60):
        a, b = ("".join(rng.choices("ab c", k=rng.randint(0, 5))) for _ in range(2))
        assert levenshtein(a, b) == slow_distance(a, b)


@pytest.mark.parametrize(
    ("answer", "accepted", "expected"),
    [
        ("INVOICE  12", ["invoice 12"], 1.0),
        ("abcd", ["abcx"], 0.75),
        ("abcd", ["abxy"], 0.0),  # half of it is wrong: the limit is strict
        ("abcd", ["zzzz", "abcdefg"], 4 / 7),  # the best counts
        ("", ["a"], 0.0),
    ],
)
def test_anls(answer, accepted, expected):
    assert score("anls", answer, *accepted) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Red\tBoat.", "red boat"),
        ("two", "2"),
        ("None", "0"),
        ("100,978", "100978"),
        ("1,000-2,000", "10002000"),  # a comma between digits removes every mark without a space
        ("left-right", "left right"),
        ("left - right", "left right"),
        ("2:50 p.m.", "2:50 pm"),
        ("3.5", "3.5"),
        ("girl's", "girl's"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("I've an idea", "i've idea"),
        ("what? no!", "what no"),
        ("a/b", "b"),
    ],
)
def test_the_official_normalization(text, expected):
    assert normalize(text) == expected


def slow_vqa(answer, accepted):
    parts = []
    for left_out in range(len(accepted)):
        matching = sum(normalize(text) == normalize(answer) for i, text in enumerate(accepted) if i != left_out)
        parts.append(min(1, matching / 3))
    return sum(parts) / len(parts)


def test_vqa_accuracy_is_the_mean_over_all_but_one():
    assert score("vqa", "Two", *["2"] * 4, *["3"] * 6) == 1.0
    assert score("vqa", "two", *["2"] * 3, *["3"] * 7) == pytest.approx(0.9)
    assert score("vqa", "two", *["2"] * 1, *["3"] * 9) == pytest.approx(0.3)
    assert score("vqa", "two", "2") == 1.0 and score("vqa", "two") == 0.0
    for right, total in itertools.product(range(5), (4, 10)):
        said = ["x"] * right + ["y"] * (total - right)
        assert score("vqa", "x", *said) == pytest.approx(slow_vqa("x", said))


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("Yes", True),
        ("No", False),
        ("There is not a dog.", False),
        ("Yes. There is no doubt", True),
        ("no, sir", False),
    ],
)
def test_how_yes_is_read(answer, yes):
    assert says_yes(answer) is yes


def test_f1_of_yes():
    answers = ["yes", "yes", "no", "no", "yes"]
    truth = [["yes"], ["no"], ["yes"], ["no"], ["yes"]]
    found = METRICS["yes_no"]().overall(answers, truth)
    assert found == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "yes_share": 0.6})
    assert METRICS["yes_no"]().overall(["no"], [["no"]])["f1"] is None


@pytest.fixture
def server():
    """A chat-completions endpoint that plays back `replies`: (status, body, headers), the last one for ever."""
    seen, replies = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.path, dict(self.headers), body))
            status, text, headers = replies.pop(0) if len(replies) > 1 else replies[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            data = text.encode()
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    http.seen, http.replies = seen, replies
    http.url = f"http://127.0.0.1:{http.server_port}/v1"
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


def says(text, status=200, **headers):
    return status, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}), headers


def test_the_judge_is_asked_once_per_case_and_told_nothing_of_methods(server):
    server.replies.append(says('```json\n{"score": 0.5}\n```'))
    judge = Judge(server.url + "/", "some-model", key="secret")
    assert [judge.score("What?", "a boat", ["ship", "boat"]) for _ in range(3)] == [0.5] * 3
    assert judge.score("What?", "a car", ["ship"]) == 0.5
    assert len(server.seen) == 2
    path, headers, body = server.seen[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert body["model"] == "some-model" and body["temperature"] == 0
    assert json.loads(body["messages"][1]["content"]) == {
        "question": "What?", "accepted": ["ship", "boat"], "answer": "a boat"
    }  # fmt: skip
    assert "secret" not in repr(judge) and "secret" not in str(judge.settings())


def test_the_judge_tries_again_and_waits_as_asked(server):
    server.replies += [
        (429, "slow down", {"retry-after": "7"}),
        (503, "busy", {}),
        says("I would say: good"),
        says("1.5"),
        says(" 1 "),
    ]
    waited = []
    assert Judge(server.url, "m", sleep=waited.append).score("q", "a", ["a"]) == 1.0
    assert len(server.seen) == 5 and waited == [7, 14, 28, 56]


def test_the_judge_gives_up_with_the_reason(server):
    server.replies.append((500, "out of memory", {}))
    waited = []
    with pytest.raises(GlimpseError, match="failed 3 times.*500 out of memory.*resume"):
        Judge(server.url, "m", tries=3, sleep=waited.append).score("q", "a", ["a"])
    assert len(server.seen) == 3 and waited == [1, 2]
    server.replies[:] = [(401, "bad key", {})]
    with pytest.raises(GlimpseError, match="401: bad key"):
        Judge(server.url, "m", sleep=waited.append).score("q", "b", ["a"])
    assert len(server.seen) == 4, "what will not change is not tried again"


def test_nobody_answers():
    with pytest.raises(GlimpseError, match="failed 2 times, last with ConnectError"):
        Judge("http://127.0.0.1:9", "m", tries=2, sleep=lambda seconds: None).score("q", "a", ["a"])
    with pytest.raises(GlimpseError, match="not usable"):
        Judge("127.0.0.1:9", "m").score("q", "a", ["a"])
