"""For all tests: one thread, property tests that draw the same examples in every run, and the browser's marker.

One thread, since the models are so small that sharing their work takes longer than doing it. Property tests have no
deadline: a shared machine is slow at times.
"""

import gc
from pathlib import Path

import pytest
import torch
from hypothesis import settings

BROWSER = Path(__file__).parent / "browser"

torch.set_num_threads(1)
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(BROWSER):
            item.add_marker(pytest.mark.browser)


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collector's rounds: half a million objects that stay to the end."""
    gc.collect()
    gc.freeze()
