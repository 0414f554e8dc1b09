"""All modules of `web/` in one file, so that the page needs one request for them instead of fifty.

`make bundle` (`python -m glimpse_core.ui.bundle`) writes it with esbuild, which Node's package manager installs. The
modules are what is edited: a bundle that is not made from them as they are now is left aside, and the page loads the
modules themselves.
"""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

WEB = Path(__file__).parent / "web"
BUNDLE = "bundle.js"
MAIN = "main.js"


def digest(web: Path = WEB) -> str:
    """A number for the modules as they are: names and contents."""
    total = sha256()
    for path in sorted(web.rglob("*.js")):
        if path.name != BUNDLE:
            total.update(f"{path.relative_to(web).as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()


def entry(web: Path = WEB) -> Path:
    """The file that a browser loads first: the bundle where it fits the modules, else the first of them."""
    bundle = web / BUNDLE
    if bundle.is_file():
        with bundle.open(encoding="utf-8") as lines:
            if lines.readline().strip() == _mark(web):
                return bundle
    return web / MAIN


def write(web: Path = WEB) -> Path:
    """Make the bundle anew. Raises CalledProcessError or FileNotFoundError where esbuild cannot run."""
    tool = Path("node_modules") / ".bin" / "esbuild"
    options = ("--bundle", "--minify", "--format=esm", "--target=es2022", "--charset=utf8", "--log-level=warning")
    code = subprocess.run([tool, web / MAIN, *options], check=True, capture_output=True, text=True).stdout
    bundle = web / BUNDLE
    bundle.write_text(f"{_mark(web)}\n{code}", encoding="utf-8")
    return bundle


def _mark(web: Path) -> str:
    return f"// made by `make bundle` from the modules beside it, sha256 {digest(web)}"


if __name__ == "__main__":
    print(write())
