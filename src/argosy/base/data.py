"""Where the files are that come with the program: `os/`, `examples/`, `packages/`.

In a checkout they are folders beside `src/`. A wheel carries them inside the package, in `_data/`; a wheel
holds neither symbolic links nor empty folders, so these trees have none.
"""

from __future__ import annotations

from pathlib import Path

from argosy.base.errors import ArgosyError

_PACKAGE = Path(__file__).resolve().parent.parent


def data_path(name: str) -> Path:
    """The folder or file `name` (for example `os` or `packages/debian.txt`) that came with the program.

    Raises `ArgosyError` if the installation has no such file.
    """
    for folder in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        if (folder / name).exists():
            return folder / name
    raise ArgosyError(f"this installation lacks `{name}`", hint="install Argosy again, or use a checkout")
