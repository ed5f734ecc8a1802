"""A GitHub release of a tag: ``TAG=v0.1.0 make release``, after ``make dist``.

The version stands in three places that people read: the tag, the names of the distributions, and
the changelog. They must agree before anything is published.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHANGELOG, DISTRIBUTIONS = Path("CHANGELOG.md"), Path(".data/dist")
_SECTION = re.compile(
    r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE
)
_KINDS = (".tar.gz", "-py3-none-any.whl")


class ReleaseError(Exception):
    """A release whose parts do not agree; the message is one sentence that says what to mend."""


def release_notes(changelog: str, version: str) -> str:
    """Return what a changelog says about a version.

    Raises
    ------
    ReleaseError
        If the version has no section, no date, or an empty section.
    """
    sections = list(_SECTION.finditer(changelog))
    ends = [section.start() for section in sections[1:]] + [len(changelog)]
    for section, end in zip(sections, ends, strict=True):
        if section["version"] != version:
            continue
        if section["date"] is None:
            raise ReleaseError(
                f"The section of version {version} in {CHANGELOG} has no date; "
                f"write ## [{version}] - YYYY-MM-DD."
            )
        notes = changelog[section.end() : end].strip()
        if not notes:
            raise ReleaseError(f"The section of version {version} in {CHANGELOG} is empty.")
        return notes
    raise ReleaseError(
        f"{CHANGELOG} has no section for version {version}; give the entries below "
        f"[Unreleased] the heading ## [{version}] - YYYY-MM-DD."
    )


def distributions(folder: Path, tag: str) -> tuple[Path, ...]:
    """Return the source distribution and the wheel of a tag.

    Raises
    ------
    ReleaseError
        If the tag is not ``vVERSION``, or the folder holds anything but these two files.
    """
    if not re.fullmatch(r"v\d+(\.\d+)*((a|b|rc)\d+)?", tag):
        raise ReleaseError(f"The tag {tag!r} is not a version such as v0.1.0.")
    expected = {f"perennial-{tag.removeprefix('v')}{kind}" for kind in _KINDS}
    found = {file.name for file in folder.glob("perennial-*")}
    if found != expected:
        raise ReleaseError(
            f"The tag {tag} needs {' and '.join(sorted(expected))} in {folder}, which holds "
            f"{', '.join(sorted(found)) or 'nothing'}; correct the version of the project or the "
            "tag, and run `make dist`."
        )
    return tuple(folder / name for name in sorted(expected))


def publish(tag: str, files: Sequence[Path], notes: str) -> None:
    """Make the GitHub release of a tag that is on GitHub."""
    subprocess.run(
        ["gh", "release", "create", tag, "--verify-tag", "--title", tag, "--notes-file", "-"]
        + [str(file) for file in files],
        input=notes,
        text=True,
        check=True,
    )


def main() -> None:
    """Publish the tag that the environment names in TAG."""
    tag = os.environ.get("TAG", "")
    try:
        files = distributions(DISTRIBUTIONS, tag)
        notes = release_notes(CHANGELOG.read_text(), tag.removeprefix("v"))
        publish(tag, files, notes)
    except ReleaseError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
