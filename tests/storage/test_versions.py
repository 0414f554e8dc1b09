"""Versions of what is installed, read without importing it."""

import platform
import subprocess
import sys

import torch

from glimpse_core import __version__
from glimpse_core.storage.versions import versions


def test_versions_of_what_is_and_what_is_not_installed():
    assert versions("torch", "no-such-distribution") == {
        "glimpse_core": __version__,
        "torch": torch.__version__,
        "no-such-distribution": None,
        "python": platform.python_version(),
    }


def test_nothing_is_imported():
    code = (
        "import sys; from glimpse_core.storage.versions import version; print(version('torch'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == ([torch.__version__, "False"], "")
