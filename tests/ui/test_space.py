"""The Space's folder: what the Hub would refuse is refused here, and what is written runs from that folder alone."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gradio_client import Client, handle_file

from glimpse_core.errors import GlimpseError
from glimpse_core.ui import space

CONFIG = yaml.safe_load((space.ROOT / "spaces_config.yaml").read_text(encoding="utf-8"))
PINNED = (space.ROOT / "requirements.txt").read_text(encoding="utf-8")
MARK = "Glimpse from the copied folder"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return space.build(tmp_path_factory.mktemp("dist") / "space")


def test_the_folder_is_complete_and_holds_nothing_else(folder: Path) -> None:
    page = (folder / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(page.split("---\n")[1])
    assert page.startswith("---\n") and front == CONFIG
    assert (folder / front["app_file"]).is_file()
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "requirements.txt", ".gitattributes", "LICENSE", "app.py", "glimpse_core", "assets",
    }  # fmt: skip
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pyc", ".pyi") or "__pycache__" in path.parts]
    assert all(path.stat().st_size < 10e6 or path.suffix == ".safetensors" for path in files)
    for name in ("report.html", "record.schema.json", "web/main.js", "web/styles/page.css"):
        assert (folder / "glimpse_core" / "ui" / name).is_file()
    for path in files:
        if path.suffix not in (".safetensors", ".webp"):
            assert str(space.ROOT) not in path.read_text(encoding="utf-8"), path


def test_requirements_follow_the_repositorys(folder: Path) -> None:
    text = (folder / "requirements.txt").read_text(encoding="utf-8")
    assert f"gradio[mcp]=={CONFIG['sdk_version']}\n" in text and f"torch=={space.ZERO_TORCH}\n" in text
    assert re.search(r"^transformers==5\.", text, re.MULTILINE) and "pydantic" not in text
    imported = {"gradio", "torch", "transformers", "safetensors", "numpy", "pillow", "matplotlib"}
    assert imported <= {re.split(r"[=\[]", line)[0] for line in text.splitlines()}


def test_what_else_is_in_the_folder_stays(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("mine")
    (folder / "glimpse_core" / "old.py").write_text("gone")
    space.build(folder)
    assert (folder / ".git" / "config").read_text() == "mine" and not (folder / "glimpse_core" / "old.py").exists()
    shutil.rmtree(folder / ".git")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sdk": "streamlit"}, "sdk is 'streamlit'. Expected one of gradio"),
        (
            {"sdk_version": "5.0.0"},
            f"sdk_version is 5.0.0. Expected {CONFIG['sdk_version']}, the gradio of requirements.txt",
        ),
        ({"sdk_version": 6.31}, "sdk_version is 6.31. Expected a version"),
        ({"colorFrom": "teal"}, "colorFrom is 'teal'. Expected one of red"),
        ({"colour": "red"}, "colour is no setting of a Gradio Space"),
        ({"app_port": 7860}, "app_port is no setting"),
        ({"emoji": ""}, "emoji is ''"),
        ({"title": 7}, "title is 7"),
        ({"short_description": "x" * 61}, "1 to 60 characters"),
        ({"suggested_hardware": "h100"}, "suggested_hardware is 'h100'"),
        ({"python_version": "3.11"}, "Expected 3.12.12 or 3.10.13, which ZeroGPU runs"),
        ({"python_version": 3.12}, "in quotes"),
        ({"header": "maxi"}, "header is 'maxi'. Expected one of mini, default"),
        ({"pinned": "no"}, "pinned is 'no'. Expected true or false"),
        ({"models": "Qwen/Qwen2.5"}, "models is 'Qwen/Qwen2.5'. Expected a list of OWNER/NAME"),
        ({"models": ["just-a-name"]}, "a list of OWNER/NAME"),
        ({"preload_from_hub": ["a/b c d"]}, "OWNER/NAME [FILES [COMMIT]]"),
        ({"startup_duration_timeout": 60}, "a time such as 30m or 1h"),
        ({"thumbnail": "http://x"}, "an https address"),
        ({"app_file": "../app.py"}, "app_file is ../app.py. Expected a file of the Space"),
        ({"app_file": "app.sh"}, "a Python file"),
        ({"license": None}, "license is None"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(GlimpseError, match=re.escape(said)):
        space.check(CONFIG | change, space.gradio_version(PINNED))


@pytest.mark.parametrize("name", space.NEEDED)
def test_nothing_needed_may_be_missing(name: str) -> None:
    with pytest.raises(GlimpseError, match=f"lacks {name}"):
        space.check({key: value for key, value in CONFIG.items() if key != name}, space.gradio_version(PINNED))


def test_our_own_configuration_passes() -> None:
    assert space.check(CONFIG, space.gradio_version(PINNED)) == CONFIG
    assert space.check(CONFIG | {"preload_from_hub": ["a/b", "a/b x.json,y.bin " + "0" * 40]}, CONFIG["sdk_version"])
    for broken in (None, [], "title: x"):
        with pytest.raises(GlimpseError, match="Expected a mapping"):
            space.check(broken, CONFIG["sdk_version"])


# It runs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` in a copy of the folder, with nothing of this checkout in reach; a mark tells the copy's code."""
    home = tmp_path_factory.mktemp("elsewhere")
    copy = Path(shutil.copytree(folder, home / "space"))
    texts = copy / "glimpse_core" / "ui" / "texts.py"
    texts.write_text(texts.read_text(encoding="utf-8").replace('TITLE = "Glimpse"', f'TITLE = "{MARK}"'), "utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SSR_MODE": "True",  # as on the Hub
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "app.py", "--host", "127.0.0.1", "--port", str(port)]
    with open(home / "log", "w+b") as log:
        server = subprocess.Popen(command, cwd=copy, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(30)


def test_the_folder_alone_serves_the_page_and_answers(address: str, folder: Path) -> None:
    client = Client(address, verbose=False)
    try:
        assert client.config["title"] == MARK
        picture = next((folder / "assets" / "examples").glob("*.webp"))
        record = client.predict(
            pictures=[handle_file(picture)], question="What is this?", longest_answer=4, api_name="/ask"
        )
        assert record["model"]["device"] == "cpu" and record["tokens"]["total"] > 100
        assert record["answers"]["full"]["tokens"] >= 1 and record["answers"]["kept"]["tokens"] >= 1
        assert client.predict(api_name="/model")["state"] == "ready"
    finally:
        client.close()
