"""Downloads with the real huggingface_hub, from a small Hub in this process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import tiny

COMMIT = "c" * 40
ASK = """
import sys
from glimpse_core.__main__ import main
picture, *models = sys.argv[1:]
for model in models:
    code = main(["ask", picture, "-q", "What?", "--model", model, "--glimpse", "tiny/glimpse", "--max-new-tokens", "2"])
    print("<code>", code, file=sys.stderr, flush=True)
"""


class Hub(BaseHTTPRequestHandler):
    """What the client asks for when it takes a snapshot. `tiny/gated` has terms that nobody accepted."""

    protocol_version = "HTTP/1.1"
    folders: dict[str, Path] = {}
    asked: list[str] = []

    def log_message(self, *args: object) -> None:
        self.asked.append(self.path)

    def give(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            return self.describe("/".join(path.split("/")[2:4]), path.split("/")[4:])
        name, _, rest = path.partition("/resolve/")
        body = (self.folders[name] / rest.partition("/")[2]).read_bytes()
        return self.give(body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET

    def describe(self, name: str, rest: list[str]) -> None:
        if name == "tiny/gated":
            return self.give(status=403, X_Error_Code="GatedRepo")
        if name not in self.folders:
            return self.give(status=404, X_Error_Code="RepoNotFound")
        if rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
            return self.give(status=404, X_Error_Code="RevisionNotFound")
        files = [path for path in self.folders[name].iterdir() if path.is_file()]
        if rest[:1] == ["tree"]:
            found: object = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": path.name} for path in files
            ]
        else:
            siblings = [{"rfilename": path.name, "size": path.stat().st_size} for path in files]
            found = {"_id": "1", "id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}
        return self.give(json.dumps(found).encode(), Content_Type="application/json")


@pytest.fixture
def hub():
    """Its address."""
    Hub.folders, Hub.asked = {"tiny/base": tiny.base_folder(), "tiny/glimpse": tiny.published_folder()}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once_with_progress_and_refusals_have_remedies(hub, tmp_path):
    tiny.picture().save(tmp_path / "picture.png")
    models = ["tiny/base", "tiny/base", "tiny/gated", "tiny/none", "tiny/base@v9"]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(tmp_path / "picture.png"), *models],
        env=environment | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1"},
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    said = done.stderr.split("<code>")
    codes = [int(part.split()[0]) for part in said[1:]]
    assert codes == [0, 0, 2, 2, 2], done.stderr
    first, second, gated, missing, revision = said[:5]
    assert "Fetching" in first and "100%" in first  # a bar each for base and modules
    assert "Fetching" not in second and done.stdout.count("pruned: ") == 2
    assert Hub.asked.count(f"/tiny/base/resolve/{COMMIT}/model.safetensors") <= 2  # its head and its body
    assert "it is gated. Expected access to it: accept its terms on" in gated and "hf auth login" in gated
    assert "there is no such repository, or it is private" in missing
    assert "it has no revision 'v9'" in revision
