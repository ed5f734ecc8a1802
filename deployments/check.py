"""Check the files of problems, and the data of one: what is wrong, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perennial.config.loader import load_problem
from perennial.errors import OutsideError, ProblemError
from perennial.settings import Settings, get_settings


def files_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the files of these problems, or of all in the folder.

    Parameters
    ----------
    folder : Path
        The folder of the problems.
    names : sequence of str
        Names of problems, or paths of their files.

    Raises
    ------
    OutsideError
        If there is none.
    """
    if names:
        return [Path(name) if _is_path(name) else folder / f"{name}.yaml" for name in names]
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise OutsideError(
            f"There is no problem in {folder}; write NAME.yaml there, or let "
            "`perennial quickstart` write an example."
        )
    return found


def complaints(file: Path) -> Iterator[str]:
    """Yield a sentence about each mistake in a problem's file."""
    try:
        load_problem(file)
    except ProblemError as error:
        yield from str(error).splitlines()


def unread(folder: Path) -> Iterator[str]:
    """Yield a sentence about each file that looks like a problem and is not read."""
    for file in sorted(folder.glob("*.yml")):
        yield f"{file} is not read; the ending of a problem's file is .yaml."


def check_data(
    files: Sequence[Path],
    names: Sequence[str],
    file: Path | None,
    *,
    encoding: str | None,
    documents: bool,
) -> bool:
    """Judge the data of one problem and show what would become of it.

    Parameters
    ----------
    files : sequence of Path
        The files of the problems that were checked.
    names : sequence of str
        The problems that were named: data is judged of a single one only.
    file : Path or None
        The data; None takes the problem's collection.
    encoding : str or None
        The encoding of the file.
    documents : bool
        Whether a collection is looked at.

    Returns
    -------
    bool
        Whether a retraining could make a model of it.

    Raises
    ------
    OutsideError
        If a file is given for several problems, or cannot be read.
    """
    if file is not None and len(names) != 1:
        raise OutsideError("--file is for one problem: name it, such as `perennial check tickets`.")
    settings = get_settings()
    if len(names) != 1 or (file is None and not (documents and _has_documents(settings, names))):
        return True
    # Nothing of this is needed to check the files of problems.
    from rich.console import Console

    from tasks.profiling.check import check_collection, check_file, sentences, tables

    problem, console = load_problem(files[0]), Console()
    if file is not None:
        trial = check_file(problem, file, encoding=encoding)
    else:
        found = check_collection(settings, problem)
        if found is None:
            return True
        trial = found
    for table in tables(problem, trial):
        console.print(table.rich())
    for sentence in sentences(problem, trial):
        console.print(sentence, markup=False, highlight=False)
    return trial.obstacle is None


def show_suspects(files: Sequence[Path], names: Sequence[str]) -> None:
    """List the documents of one problem whose labels looked wrong to its last retraining.

    Parameters
    ----------
    files : sequence of Path
        The files of the problems that were checked.
    names : sequence of str
        The problems that were named.

    Raises
    ------
    OutsideError
        If not one problem is named, or if there is no such list.
    """
    if len(names) != 1:
        raise OutsideError("--labels is for one problem: name it, as `perennial check tickets`.")
    from rich.console import Console

    from tasks.profiling.labels import suspects_of, suspects_sentences, suspects_table

    problem, console = load_problem(files[0]), Console()
    suspects = suspects_of(problem, get_settings())
    if suspects:
        console.print(suspects_table(problem, suspects).rich())
    for sentence in suspects_sentences(problem, suspects):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _has_documents(settings: Settings, names: Sequence[str]) -> bool:
    """Return whether there is a MongoDB to look at: a configured one, or one that was used here."""
    is_configured = settings.mongodb_uri is not None or {*names} <= settings.mongodb_uris.keys()
    return is_configured or (settings.data_dir / "mongodb").is_dir()


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name
