"""The wheel: what is in it, and that it works where this clone is out of reach.

It is built without a network and installed into a virtual environment of its own. The packages that it needs come from
the environment of the tests, by a .pth file behind the new environment's own packages. Programs run there in another
folder, with -P, without PYTHONPATH, and each says which `glimpse_core` it imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from urllib.parse import quote, urljoin
from urllib.request import urlopen

import pytest

from glimpse_core import __version__

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 10_000_000  # bytes of the wheel: 8.4 MB, nearly all of it the demo model
OFFLINE = ("--no-index", "--no-deps", "--no-cache-dir", "--quiet", "--disable-pip-version-check")


def pip(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def build_wheel(source: Path, out: Path) -> Path:
    pip("wheel", *OFFLINE, "--no-build-isolation", "-w", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def below(folder: str, name: str = "") -> set[str]:
    """Files of the clone below a folder, by the name that they have in the wheel."""
    found = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyi")]
    return {f"{name or folder}/{path.relative_to(ROOT / folder).as_posix()}" for path in found}


# What is in it ----------------------------------------------------------------------------------------------------


def test_it_holds_the_package_and_its_assets_and_nothing_else(wheel: Path) -> None:
    package = {name for name in files_of(wheel) if ".dist-info/" not in name}
    demo, examples = (below(f"assets/{name}", f"glimpse_core/assets/{name}") for name in ("demo", "examples"))
    assert len(demo) >= 8 and len(examples) >= 8
    assert package == below("glimpse_core") | demo | examples | {"glimpse_core/assets/NOTICE.md"}
    web = {name.removeprefix("glimpse_core/ui/web/") for name in package if name.startswith("glimpse_core/ui/web/")}
    assert {"bundle.js", "main.js", "types.d.ts", "state/machine.js", "lib/server.js", "styles/page.css"} <= web
    assert len([name for name in web if name.endswith(".js")]) >= 40
    kinds = {Path(name).suffix for name in package}
    assert {".py", ".js", ".css", ".html", ".json", ".typed", ".safetensors", ".webp"} <= kinds
    assert not [name for name in package if "test" in Path(name).parts or Path(name).name.startswith("test_")]
    assert wheel.stat().st_size < LIMIT


def test_its_metadata_are_those_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text, scripts = (
            archive.read(f"glimpse_prune-{__version__}.dist-info/{name}").decode()
            for name in ("METADATA", "entry_points.txt")
        )
    fields = Parser().parsestr(text)
    assert (fields["Name"], fields["Version"], fields["Requires-Python"]) == ("glimpse-prune", __version__, ">=3.11")
    assert fields["License-Expression"] == "Apache-2.0" and "LICENSE" in fields.get_all("License-File")
    assert {"train", "eval", "gpu", "mcp", "serve", "dev"} <= set(fields.get_all("Provides-Extra"))
    assert "glimpse = glimpse_core.__main__:main" in scripts


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    code = f"from hatchling.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build_wheel(tmp_path / f"glimpse_prune-{__version__}", tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert first.namelist() == second.namelist()
        assert all(first.read(name) == second.read(name) for name in first.namelist())


# Installed, with the clone out of reach ---------------------------------------------------------------------------


@dataclass
class Installed:
    """A virtual environment with the wheel, and an empty folder to run programs in."""

    folder: Path
    home: Path

    @property
    def package(self) -> Path:
        """Where `glimpse_core` must be imported from."""
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.folder)})) / "glimpse_core"

    def command(self, *words: str) -> list[str]:
        """The console script if the first word is `glimpse`, else Python without the current folder on its path."""
        program, *options = words if words[0] == "glimpse" else ("python", "-P", *words)
        return [str(self.folder / "bin" / program), *options]

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the tests' own environment but the path to programs."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "HF_HUB_OFFLINE": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *words: str, code: int = 0) -> str:
        """What a program prints on stdout, or on stderr if it is expected to fail."""
        done = subprocess.run(
            self.command(*words), cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder, home = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("home")
    venv.create(folder, with_pip=False, symlinks=True)
    pip("--python", folder / "bin" / "python", "install", *OFFLINE, wheel)
    place = Installed(folder, home)
    packages = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    # A path line adds a folder and does not read the .pth files in it, so an editable install there stays out.
    (place.package.parent / "tested_environment.pth").write_text("\n".join(sorted(packages)) + "\n")
    return place


def test_the_clone_is_out_of_reach(installed: Installed) -> None:
    code = (
        "import glimpse_core, importlib.util, json, sys; "
        "print(json.dumps([glimpse_core.__file__, importlib.util.find_spec('torch').origin, sys.path]))"
    )
    package, torch, path = json.loads(installed.run("-c", code))
    assert Path(package) == installed.package / "__init__.py"
    assert not Path(torch).is_relative_to(installed.folder)  # the tested environment's
    assert str(ROOT) not in path and "" not in path
    assert not [entry for entry in path if (Path(entry) / "app.py").exists() or (Path(entry) / "assets").exists()]


def test_the_console_script_says_its_version_and_name(installed: Installed) -> None:
    assert installed.run("glimpse", "--version").strip() == f"glimpse_core {__version__}"
    assert "usage: glimpse demo" in installed.run("glimpse", "demo", "--help")
    assert "usage: python -m glimpse_core demo" in installed.run("-m", "glimpse_core", "demo", "--help")


def test_doctor_finds_the_demo_model_inside_the_package(installed: Installed) -> None:
    report = json.loads(installed.run("glimpse", "doctor", "--json"))
    assert report["ok"] and report["problems"] == []
    assert Path(report["base"]["folder"]) == installed.package / "assets" / "demo"
    assert report["glimpse"]["fits"] is True


def test_the_demo_model_answers_about_a_bundled_image(installed: Installed) -> None:
    folder = installed.package / "assets" / "examples"
    example = json.loads((folder / "examples.json").read_text(encoding="utf-8"))[0]
    question, truth = (example["questions"][0][key] for key in ("question", "answer"))
    report = json.loads(installed.run("glimpse", "ask", str(folder / example["file"]), "-q", question, "--json"))
    assert {name: answer["text"] for name, answer in report["answers"].items()} == {"pruned": truth, "full": truth}
    assert 0 < report["visual_tokens"]["after"] < report["visual_tokens"]["before"]


def test_the_demo_command_serves_the_page_with_its_scripts_examples_and_results(installed: Installed) -> None:
    """The page as `create_app` built it; its modules, found by following their imports; and its pictures."""
    with serving(installed, "glimpse", "demo") as address:
        page = json.loads(fetched(f"{address}/config"))
        (ours,) = [part["props"] for part in page["components"] if part["props"].get("elem_id") == "glimpse-app"]
        (bundle,) = re.findall(r"gradio_api/file=[^']+\.js", ours["js_on_load"])
        served = fetched(f"{address}/{bundle}")
        main = bundle.replace("bundle.js", "main.js")
        modules = followed(f"{address}/{main}")
        pictures = [f"{address}/{example['src']}" for example in ours["value"]["examples"]]
        assert all(fetched(picture)[8:12] == b"WEBP" for picture in pictures)
    assert page["title"] == "Glimpse"
    web = installed.package / "ui" / "web"
    assert bundle == f"gradio_api/file={quote(str(web / 'bundle.js'))}"
    assert served == (web / "bundle.js").read_bytes()
    # Each module is imported by another one, and served, for a page whose bundle is left aside.
    assert modules == {path.relative_to(web).as_posix() for path in web.rglob("*.js")} - {"bundle.js"}
    examples = json.loads((installed.package / "assets" / "examples" / "examples.json").read_text(encoding="utf-8"))
    assert len(pictures) == len(examples) >= 8
    first = ours["value"]["first"]
    assert first["answers"]["question"] == examples[0]["questions"][0]["question"]
    assert first["canvas"]["pictures"][0]["src"] == ours["value"]["examples"][0]["src"]
    rules = "".join(path.read_text(encoding="utf-8") for path in sorted((web / "styles").glob("*.css")))
    assert "#glimpse-app" in rules and page["css"].count("--glimpse-kept") >= rules.count("--glimpse-kept") > 5


def fetched(address: str) -> bytes:
    with urlopen(address, timeout=60) as answer:
        return answer.read()


IMPORT = re.compile(r"""(?:from |import\(|^import )["'](\.[^"']+)""", re.MULTILINE)


def followed(main: str) -> set[str]:
    """The addresses of a module and of all that it imports, at once or later, relative to its folder."""
    found: set[str] = set()
    waiting = [main]
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found.add(address)
        code = re.sub(r"/\*.*?\*/", "", fetched(address).decode(), flags=re.DOTALL)  # comments name types of others
        waiting += [urljoin(address, name) for name in IMPORT.findall(code)]
    return {address.removeprefix(urljoin(main, ".")) for address in found}


@contextmanager
def serving(installed: Installed, *words: str) -> Iterator[str]:
    """The address that a program prints once it serves; the program is stopped at the end."""
    with subprocess.Popen(
        installed.command(*words),
        cwd=installed.home,
        env=installed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        printed = []
        try:
            for line in server.stdout or ():
                printed.append(line)
                if "running on" in line.lower():
                    yield line.split()[-1].rstrip("/")
                    return
            raise AssertionError("".join(printed))
        finally:
            server.terminate()


def test_a_space_needs_a_clone_and_says_so(installed: Installed) -> None:
    assert "Expected a clone" in installed.run("glimpse", "space", code=2)
    assert not (installed.home / "dist").exists()
