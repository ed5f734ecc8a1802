"""The code that a stored model needs where Perennial is not installed: one archive beside it."""

from __future__ import annotations

import zipfile
from functools import cache
from io import BytesIO
from pathlib import Path

import perennial

ARCHIVE = f"{perennial.__name__}.zip"
# The same code is the same archive, whenever it was checked out.
_DATED = (1980, 1, 1, 0, 0, 0)
# Python finds the modules in the archive; MLflow puts only its folder on the path.
_STUB = f'''"""Perennial as it was when the model was made: its modules are in {ARCHIVE}."""

from pathlib import Path

__version__ = "{perennial.__version__}"
__path__ = [str(Path(__file__).parents[1] / "{ARCHIVE}" / "{perennial.__name__}")]
'''


def write_code(folder: Path) -> list[str]:
    """Write the code into a folder, and return what MLflow is to keep beside a model.

    Parameters
    ----------
    folder : Path
        An empty folder.
    """
    package = folder / perennial.__name__
    package.mkdir()
    (package / "__init__.py").write_text(_STUB, encoding="utf-8")
    (folder / ARCHIVE).write_bytes(_packed())
    return [str(package), str(folder / ARCHIVE)]


@cache
def _packed() -> bytes:
    content, root = BytesIO(), Path(perennial.__path__[0])
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                entry = zipfile.ZipInfo(str(file.relative_to(root.parent)), _DATED)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())
    return content.getvalue()
