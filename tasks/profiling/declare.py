"""Declare: write the file of a new problem, as its data suggests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from perennial.commands import command
from perennial.config.loader import load_problem
from perennial.errors import OutsideError
from perennial.profile.draft import Draft, draft_problem
from perennial.profile.findings import Choose, examine
from perennial.profile.table import TableProfile
from perennial.profile.template import write_problem
from perennial.settings import Settings
from tasks.profiling.source import profile_collection, profile_file, split_name

_NAME = re.compile(r"[a-z][a-z0-9-]{0,59}")
_DATABASE = "perennial"


@dataclass(frozen=True, eq=False)
class Declared:
    """A problem's file that was written.

    Attributes
    ----------
    path : Path
        The file.
    draft : Draft
        What it says, and why.
    next_steps : tuple of str
        The commands that lead to a first version.
    """

    path: Path
    draft: Draft
    next_steps: tuple[str, ...]


def declare(
    settings: Settings,
    name: str,
    *,
    file: Path | None = None,
    collection: str | None = None,
    label: str | None = None,
    text: str | None = None,
    encoding: str | None = None,
    choose: Choose | None = None,
) -> Declared:
    """Look at data and write the file of a problem that suits it.

    Parameters
    ----------
    settings : Settings
        Where problems are, and MongoDB.
    name : str
        Name of the problem.
    file : Path or None
        A file with labelled rows.
    collection : str or None
        A collection of MongoDB instead, ``DATABASE.COLLECTION``.
    label, text : str or None
        The columns of label and text; None guesses.
    encoding : str or None
        The encoding of the file; None finds it.
    choose : callable or None
        As of `perennial.profile.findings.examine`.

    Raises
    ------
    OutsideError
        If there is a file of this problem, or the data is for no classifier; nothing is written.
    """
    path = _free_path(settings, name)
    if (file is None) == (collection is None):
        raise OutsideError("Name the data: either --file or --collection.")
    if file is not None:
        table, where = profile_file(file, encoding=encoding), (_DATABASE, name)
    else:
        assert collection is not None
        where = split_name(collection)
        table = profile_collection(settings, *where)
    draft = _draft(name, table, where, file, label=label, text=text, choose=choose)
    _write(path, draft)
    seed = [] if file is None else [command("seed", name, "--file", file)]
    return Declared(path, draft, (*seed, command("retrain", name)))


def _free_path(settings: Settings, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise OutsideError(
            f"{name!r} cannot be the name of a problem, which has small letters, digits and "
            "hyphens and begins with a letter, such as tickets."
        )
    path = settings.problem_file(name)
    if path.exists():
        raise OutsideError(
            f"{path} exists already and is left as it is; choose another name, or remove it first."
        )
    return path


def _draft(
    name: str,
    table: TableProfile,
    where: tuple[str, str],
    file: Path | None,
    *,
    label: str | None,
    text: str | None,
    choose: Choose | None,
) -> Draft:
    findings = examine(table, label=label, text=text, choose=choose)
    return draft_problem(
        name,
        findings,
        database=where[0],
        collection=where[1],
        file=None if file is None else file.name,
    )


def _write(path: Path, draft: Draft) -> None:
    """Write the file, after it was read as every command will read it."""
    content = write_problem(draft)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(content, encoding="utf-8")
        load_problem(trial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(content)
    except FileExistsError:
        raise OutsideError(f"{path} exists already and is left as it is.") from None
    except OSError as error:
        raise OutsideError(f"{path} cannot be written: {error.strerror or error}.") from error
