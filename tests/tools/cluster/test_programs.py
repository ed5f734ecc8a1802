"""What the cluster of the tests is made of: built once, by pinned checksums, or skipped by name.

A small program stands in for the toolchain of Go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perennial.errors import OutsideError
from tests.tools.cluster.conftest import WRITES_WHAT_IT_BUILDS
from tools.cluster import __main__, definitions, programs

# As the toolchain says it where no proxy of modules is reached.
_AWAY = "go: k8s.io/api@v0.36.3: Get https://proxy.example/: dial tcp: lookup proxy.example"
_BROKEN = "cmd/kube-apiserver/apiserver.go:1: undefined: main"


def test_each_program_is_built_once_and_says_its_release(toolchain: Callable[[str], Path]) -> None:
    calls = toolchain(WRITES_WHAT_IT_BUILDS)

    programs.build()
    programs.build()

    lines = calls.read_text().splitlines()
    assert [line.split()[-1] for line in lines] == list(programs.PACKAGES.values())
    assert all(f"gitVersion=v{programs.release()}" in line for line in lines)
    assert programs.missing() == []


def test_a_build_that_is_broken_off_leaves_no_program(toolchain: Callable[[str], Path]) -> None:
    toolchain(f"{WRITES_WHAT_IT_BUILDS}; echo '{_BROKEN}' >&2; exit 1")

    with pytest.raises(OutsideError, match="undefined: main"):
        programs.build()

    assert programs.missing() == list(programs.PACKAGES)


def test_the_tests_are_skipped_by_name_where_modules_are_not_reached(
    toolchain: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    toolchain(f"echo '{_AWAY}' >&2; exit 1")

    __main__.main()

    assert (
        "The tests of the cluster are SKIPPED: `go build` says: go: k8s.io"
        in capsys.readouterr().err
    )


def test_a_program_that_cannot_be_built_is_an_error_and_skips_nothing(
    toolchain: Callable[[str], Path],
) -> None:
    toolchain(f"echo '{_BROKEN}' >&2; exit 1")

    with pytest.raises(SystemExit, match="undefined: main"):
        __main__.main()


def test_a_definition_of_another_checksum_is_refused(
    toolchain: Callable[[str], Path], tmp_path: Path
) -> None:
    answer = json.dumps({"Dir": str(tmp_path), "Sum": "h1:another="})
    toolchain(f"echo '{answer}'")

    with pytest.raises(OutsideError, match="has the checksum h1:another="):
        definitions.definitions()
