"""The commands `perennial backup` and `perennial restore`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from rich.console import Console

from perennial.backup.archive import Archive, Manifest, archive_in
from perennial.backup.backup import Counts, restore, save
from perennial.commands import command, counted
from perennial.config.loader import load_problems
from perennial.errors import OutsideError
from perennial.settings import get_serving_settings, get_settings
from tasks.orchestration.flow_lock import turn


def run_backup(place: str, *, documents: bool | None) -> None:
    """Save everything that Perennial keeps, while no retraining runs.

    Parameters
    ----------
    place : str
        A folder, or ``s3://BUCKET/PREFIX``, in which a new folder is made.
    documents : bool or None
        Whether to save the labelled documents; None for those of an embedded MongoDB alone.

    Raises
    ------
    OutsideError
        If there is no problem, or something cannot be read or written.
    """
    settings, at = get_settings(), datetime.now(UTC)
    loaded = load_problems(settings.problems_dir)
    if not loaded.problems:
        raise OutsideError(f"There is no problem in {settings.problems_dir}, so nothing is saved.")
    archive = archive_in(place, at, settings)
    with _turns([problem.name for problem in loaded.problems]):
        manifest, counts = save(
            archive,
            loaded.problems,
            settings,
            at,
            with_documents=documents,
            log_database=get_serving_settings().log_database,
        )
    _print("Saved", manifest, counts)
    for warning in loaded.warnings():
        _say(f"Left out: {warning}")
    _say(f"Restore it by {command('restore', archive.address)}")


def run_restore(place: str) -> None:
    """Restore a backup where there is nothing yet.

    Raises
    ------
    OutsideError
        If the backup is damaged, or there is something already.
    """
    manifest, counts = restore(Archive(place, get_settings()), get_settings())
    _print("Restored", manifest, counts)


@contextmanager
def _turns(problems: Sequence[str]) -> Iterator[None]:
    """Let no retraining, erasure or tidying of these problems run meanwhile."""
    with ExitStack() as stack:
        for problem in sorted(problems):
            stack.enter_context(turn("retrain", problem))
        yield


def _print(verb: str, manifest: Manifest, counts: Counts) -> None:
    _say(
        f"{verb} {counted(len(manifest.problems), 'problem')} ({', '.join(manifest.problems)}), "
        f"{counted(counts.documents, 'document')} of MongoDB, {counted(counts.files, 'file')}, "
        f"{counts.size / 1e6:,.1f} MB; of {manifest.at:%Y-%m-%d %H:%M} UTC."
    )
    for each in manifest.left_out:
        _say(f"Not in the backup: {each}.")


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, soft_wrap=True, markup=False)
