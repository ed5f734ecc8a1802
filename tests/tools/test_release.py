"""A release: the tag, the distributions and the changelog agree, or nothing is published."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perennial.settings import PROJECT
from tools.release import ReleaseError, distributions, release_notes

CHANGELOG = """\
# Changelog

## [Unreleased]

## [0.2.0] - 2027-01-02

### Added

- A gate.

## [0.1.0] - 2026-11-28

- The first version.
"""


@pytest.fixture
def release(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that releases a tag; a program that notes its call stands for GitHub's."""
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$*" > gh-arguments\ncat > gh-notes\n')
    program.chmod(0o755)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    folder = tmp_path / ".data" / "dist"
    folder.mkdir(parents=True)
    for name in ("perennial-0.2.0.tar.gz", "perennial-0.2.0-py3-none-any.whl"):
        (folder / name).touch()

    def call(tag: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tools.release"],
            cwd=tmp_path,
            env=os.environ
            | {
                "PATH": f"{program.parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(PROJECT),
                "TAG": tag,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def test_a_tag_is_released_with_both_distributions_and_its_part_of_the_changelog(
    release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = release("v0.2.0")

    assert done.returncode == 0, done.stderr
    arguments = (tmp_path / "gh-arguments").read_text().split()
    assert arguments[:4] == ["release", "create", "v0.2.0", "--verify-tag"]
    assert arguments[-2:] == [
        ".data/dist/perennial-0.2.0-py3-none-any.whl",
        ".data/dist/perennial-0.2.0.tar.gz",
    ]
    assert (tmp_path / "gh-notes").read_text() == "### Added\n\n- A gate."


def test_a_tag_of_another_version_than_the_distributions_is_not_released(
    release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = release("v0.1.0")

    assert done.returncode == 1
    assert "The tag v0.1.0 needs perennial-0.1.0-py3-none-any.whl" in done.stderr
    assert not (tmp_path / "gh-arguments").exists()


@pytest.mark.parametrize("tag", ["", "main", "0.2.0", "v0.2.0 --draft"])
def test_what_is_no_version_is_not_released(
    release: Callable[..., subprocess.CompletedProcess[str]], tag: str
) -> None:
    done = release(tag)

    assert done.returncode == 1
    assert "is not a version such as v0.1.0" in done.stderr


def test_a_failure_of_github_ends_the_release(
    release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "bin" / "gh").write_text("#!/bin/sh\necho no such tag >&2; exit 4\n")

    assert release("v0.2.0").returncode == 4


def test_a_wheel_of_an_earlier_version_is_not_published_too(tmp_path: Path) -> None:
    for version in ("0.1.0", "0.2.0"):
        for kind in (".tar.gz", "-py3-none-any.whl"):
            (tmp_path / f"perennial-{version}{kind}").touch()

    with pytest.raises(ReleaseError, match=r"which holds perennial-0[.]1[.]0"):
        distributions(tmp_path, "v0.2.0")


@pytest.mark.parametrize(
    ("changelog", "said"),
    [
        ("## [0.2.0] - 2027-01-02\n- A gate.", "has no section for version 0.1.0"),
        ("## [0.1.0]\n- A gate.", "has no date"),
        ("## [0.1.0] - 2026-11-28\n\n## [0.0.1] - 2026-11-01\n- Less.", "is empty"),
    ],
    ids=["another version", "no date", "empty"],
)
def test_a_changelog_that_does_not_describe_the_version_stops_the_release(
    changelog: str, said: str
) -> None:
    with pytest.raises(ReleaseError, match=said):
        release_notes(changelog, "0.1.0")


def test_the_last_section_ends_with_the_file() -> None:
    assert release_notes(CHANGELOG, "0.1.0") == "- The first version."


def test_the_changelog_of_the_project_describes_its_first_version() -> None:
    assert "### Added" in release_notes((PROJECT / "CHANGELOG.md").read_text(), "0.1.0")
