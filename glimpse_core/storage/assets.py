"""Where the package finds the files it ships: demo weights, examples, results.

In a clone they lie in `assets/` beside the package; in an installed wheel, in `assets/` inside it.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ASSETS = next((path for path in (PACKAGE / "assets", PACKAGE.parent / "assets") if path.is_dir()), PACKAGE / "assets")
