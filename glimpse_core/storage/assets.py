"""Where the files that come with the package are: the demo model, the examples with their results, and their notice.

In a clone, and in a Space's folder, they are in `assets/` beside the package; in an installed wheel they are in
`assets/` inside it (`force-include` in pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def find_assets(package: Path) -> Path:
    """Return the folder with the assets of the package in the folder `package`.

    The one inside the package comes first: beside an installed package, an `assets` folder is somebody else's.
    """
    inside, beside = package / "assets", package.parent / "assets"
    return beside if not inside.is_dir() and beside.is_dir() else inside


ASSETS = find_assets(PACKAGE)
