"""`app.py` and `glimpse demo`: the same page with the same options, and nothing loaded before it is asked for."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import app
from glimpse_core.__main__ import main as command_line
from glimpse_core.ui import app as ui_app

ROOT = Path(app.__file__).parent
ALL = ["--model", "m", "--glimpse", "g", "--host", "0.0.0.0", "--port", "7", "--share"]
ALL += ["--dtype", "float16", "--device", "cuda:1", "--attn", "eager", "--adapter", "a", "--no-merge"]
ALL += ["--keep-layer", "3"]
DEFAULT = {
    "model": "demo",
    "glimpse": None,
    "keep_layer": None,
    "adapter": None,
    "merge": True,
    "dtype": "auto",
    "device": "auto",
    "attn": "auto",
}
SERVED = {"host": None, "port": None, "share": False}


@pytest.fixture(params=[app.main, lambda argv: command_line(["demo", *argv])], ids=["app.py", "glimpse demo"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What the page would be made of and how it would be served, for options of the command line."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(ui_app, "create_app", lambda model, **options: seen.update(model=model, **options))
    monkeypatch.setattr(ui_app, "serve", lambda page, **options: seen.update(options))
    monkeypatch.delenv("GLIMPSE_MODEL", raising=False)
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)

    def run(*argv: str) -> dict[str, Any]:
        assert request.param(list(argv)) == 0
        return dict(seen)

    return run


def test_every_option_reaches_the_page(served: Callable[..., dict[str, Any]]) -> None:
    assert served() == DEFAULT | SERVED
    assert served(*ALL) == {
        "model": "m", "glimpse": "g", "adapter": "a", "merge": False, "dtype": "float16", "device": "cuda:1",
        "attn": "eager", "keep_layer": 3,
        "host": "0.0.0.0", "port": 7, "share": True,
    }  # fmt: skip


def test_the_environment_chooses_the_model(
    served: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert served()["model"] == "qwen2.5-vl-3b"
    monkeypatch.setenv("GLIMPSE_MODEL", "qwen2.5-vl-7b")
    assert served()["model"] == "qwen2.5-vl-7b"
    assert served("--model", "demo")["model"] == "demo"


def test_a_port_in_use_is_an_error_with_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ui_app.create_app
    monkeypatch.setattr(ui_app, "create_app", lambda *_, **__: create(load=object, examples=(), results={}))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert app.main(["--host", "127.0.0.1", "--port", str(taken.getsockname()[1])]) == 2
    assert "error: the page cannot be served" in capsys.readouterr().err


def test_importing_builds_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page begins to load its model as soon as it is created."""
    monkeypatch.setattr(ui_app, "create_app", lambda *_, **__: pytest.fail("a page was created at import"))
    importlib.reload(app)
    monkeypatch.undo()
    importlib.reload(app)


@pytest.mark.parametrize("module", ["app", "glimpse_core.ui.app"])
def test_zerogpu_is_imported_before_torch_and_gradio(module: str, tmp_path: Path) -> None:
    """A stand-in for `spaces` says what was imported before it, and ends the program there."""
    says = "import sys\nprint([name for name in ('torch', 'gradio') if name in sys.modules])\nsys.exit()\n"
    (tmp_path / "spaces.py").write_text(says)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
