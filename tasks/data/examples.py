"""Examples: problems that a project may have by their names, with the datasets that they name."""

from __future__ import annotations

from pathlib import Path


def bring_example(name: str, problems: Path, examples: Path) -> bool:
    """Copy the file of an example to a project that has no problem of this name yet.

    Parameters
    ----------
    name : str
        Name of the problem.
    problems : Path
        Where the project's problems are.
    examples : Path
        Where the examples are, at the top or in ``more``, with the cases that some of them have.

    Returns
    -------
    bool
        Whether a file was written.
    """
    target = problems / f"{name}.yaml"
    sources = [folder / f"{name}.yaml" for folder in (examples, examples / "more")]
    source = next((each for each in sources if each.is_file()), None)
    if target.exists() or source is None:
        return False
    cases = examples / "cases" / source.name
    if cases.is_file() and not (problems / "cases" / source.name).exists():
        _copy(cases, problems / "cases" / source.name)
    # What is looked for comes last: a copy that was interrupted is made again.
    _copy(source, target)
    return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
