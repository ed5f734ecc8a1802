"""Erase: documents out of everything that is stored, for good.

perennial erase sentiment --id 65f1c0ffee0123456789abcd --why "asked for by the author"
"""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer
from prefect import flow
from pydantic import SecretStr
from rich.prompt import Confirm

from perennial.commands import counted
from perennial.config.loader import load_problem
from perennial.errors import OutsideError
from perennial.settings import get_settings
from perennial.stores.measurements import record
from tasks.erasure.erase import Erasure, Wish, erase_documents, find_keys
from tasks.orchestration.connect import connect
from tasks.orchestration.flow_lock import turn
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.reporting.erasure import report_erasure

# Prefect keeps the parameters of every run: those that name a document are secrets to it.
_Ids = Annotated[list[SecretStr] | None, typer.Option("--id", parser=SecretStr, metavar="<str>")]
_Query = Annotated[SecretStr | None, typer.Option(parser=SecretStr, metavar="<str>")]


@flow(name="erase", flow_run_name="erase {problem}")
def erase(
    problem: str = "sentiment",
    *,
    why: str,
    ids: _Ids = None,
    query: _Query = None,
    also_in_mongodb: bool = False,
    with_copies: bool = False,
    by: str | None = None,
    yes: bool = False,
) -> Erasure:
    """Erase documents from every snapshot, model and log, and prove that they are gone.

    An erasure that was ended in the middle is completed by the next one, also without documents of
    its own.

    Parameters
    ----------
    problem : str
        Name of a file in ``problems/``, without its ending.
    why : str
        The reason, kept with the tombstones; it should not say whom it is about.
    ids : list of str or None
        The id of a document; repeat it for several.
    query : str or None
        A MongoDB filter, as JSON: all documents of the collection that it finds.
    also_in_mongodb : bool
        Delete the documents in MongoDB, too; otherwise they stay there, and are not read again.
    with_copies : bool
        Erase other documents of the same text as well.
    by : str or None
        Who decides it; None for the user of this process.
    yes : bool
        Do not ask in the terminal.
    """
    quiet_prefect_logs()
    if not why.strip():
        raise OutsideError("--why is empty; say in a sentence why documents have to be erased.")
    spec, settings = load_problem(get_settings().problem_file(problem)), get_settings()
    wish = Wish(
        ids=[each.get_secret_value() for each in ids or []],
        query=None if query is None else query.get_secret_value(),
        by=by or getpass.getuser(),
        why=why.strip(),
        also_in_mongodb=also_in_mongodb,
        with_copies=with_copies,
    )
    keys = find_keys(spec, settings, wish)
    if not yes:
        _confirm(len(keys), spec.name)
    registry = connect()
    with turn("retrain", spec.name):
        erasure = erase_documents(spec, registry, settings, wish, keys)
    report_erasure(spec, erasure)
    record("erase", spec)
    return erasure


def _confirm(documents: int, problem: str) -> None:
    if not sys.stdin.isatty():
        raise OutsideError("What is erased cannot be brought back; add --yes if that is meant.")
    erased = counted(documents, "document")
    question = f"To be erased for good, of {problem}: {erased}. Go on?"
    if not Confirm.ask(question, default=False):
        raise OutsideError("Nothing was erased.")


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(erase)
