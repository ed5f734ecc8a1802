"""What the tests of flows share: machines on which flows have run, and blank pictures."""

from __future__ import annotations

from io import BytesIO, TextIOBase
from typing import Any

import pytest

from tests.flows.prepared import Prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """What has happened on machines of this module."""
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def blank() -> bytes:
    """An empty picture."""
    from matplotlib.figure import Figure

    content = BytesIO()
    Figure(figsize=(0.1, 0.1)).savefig(content, format="png")
    return content.getvalue()


@pytest.fixture(autouse=True)
def blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave pictures blank, which take a third of a retraining, unless a test is marked `drawn`."""
    if request.node.get_closest_marker("drawn"):
        return
    blank = request.getfixturevalue("blank")

    def savefig(self: Any, file: Any, **_: Any) -> None:
        if isinstance(file, TextIOBase):
            file.write('<svg xmlns="http://www.w3.org/2000/svg"/>')
        elif hasattr(file, "write"):
            file.write(blank)
        else:
            with open(file, "wb") as opened:  # noqa: PTH123 - a path or its name
                opened.write(blank)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
