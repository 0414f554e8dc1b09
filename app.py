"""The page, for Hugging Face Spaces and `python app.py`: the same as `glimpse demo`, with the same options.

Nothing is loaded at import. `create_app()` gives the `gr.Blocks`, to serve it in another way.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

with suppress(ImportError):
    import spaces  # noqa: F401  Hugging Face's ZeroGPU: before anything touches CUDA

from glimpse_core.__main__ import main as command_line
from glimpse_core.ui.app import create_app, launch_options

__all__ = ["create_app", "launch_options", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until interrupted. Returns the exit code. argv: options of `glimpse demo`; None: the program's."""
    return command_line(["demo", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
