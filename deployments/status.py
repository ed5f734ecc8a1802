"""The command `perennial status`: how every problem is, in one table, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from perennial.settings import get_settings
from perennial.status.facts import Facts, Live, read_facts
from perennial.status.rules import STATES, Finding, State, find, state_of
from perennial.times import rounded

_COLOURS: Mapping[State, str] = {
    "failing": "bold red",
    "attention": "yellow",
    "new": "cyan",
    "ok": "green",
    "retired": "dim",
}
_NONE = "-"


def show(names: Sequence[str], *, as_json: bool) -> bool:
    """Print how problems are; return whether one of them is failing.

    Parameters
    ----------
    names : sequence of str
        Names of problems; all unless given.
    as_json : bool
        For programs instead of people.

    Raises
    ------
    OutsideError
        If there is no problem of a name.
    """
    now = datetime.now(UTC)
    found = [(facts, find(facts, now)) for facts in read_facts(get_settings(), now, names)]
    console = Console()
    if as_json:
        console.print_json(json.dumps([_record(*each) for each in found], default=str))
    else:
        _print(console, found, now, names)
    return any(state_of(findings) == "failing" for _, findings in found)


def _print(
    console: Console,
    found: Sequence[tuple[Facts, tuple[Finding, ...]]],
    now: datetime,
    names: Sequence[str],
) -> None:
    if not found:
        console.print(f"There is no problem in {get_settings().problems_dir}.")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("problem", "state", "Production", "holdout", "honest", "live", "last", "next"):
        table.add_column(name, overflow="fold")
    for facts, findings in found:
        state = state_of(findings)
        table.add_row(facts.name, f"[{_COLOURS[state]}]{state}[/]", *_cells(facts, now))
    console.print(table)
    for facts, findings in found:
        for finding in findings:
            console.print(
                f"[{_COLOURS[finding.state]}]{facts.name}[/]", finding.sentence, highlight=False
            )
        if (parts := [_said(part, each) for part, each in facts.fresh if part]) and names:
            console.print(f"{facts.name} On recent documents:", "; ".join(parts), highlight=False)
    counts = {state: sum(state_of(each) == state for _, each in found) for state in STATES}
    console.print(", ".join(f"{count} {state}" for state, count in counts.items() if count) + ".")


def _said(part: str, fresh: Live) -> str:
    bounds = "" if fresh.low is None else f" [{fresh.low:.3f}, {fresh.high:.3f}]"
    return f"{part} {fresh.value:.3f}{bounds} of {fresh.answers:,}"


def _cells(facts: Facts, now: datetime) -> tuple[str, ...]:
    production, measured = facts.versions.production, facts.measured.get("retrain")
    since = production and production.since("production")
    version = f"v{production.version}" if production else _NONE
    value, honest, live = facts.holdout, facts.corrected, facts.live
    following = facts.next_retraining
    coming = f"in {rounded(following - now)}" if following else _NONE
    return (
        f"{version}, {rounded(now - since)}" if since else version,
        _NONE if value is None else f"{facts.metric} {value:.3f}",
        _NONE if honest is None else f"{honest:.3f}",
        _NONE if live is None else f"{live.value:.3f}",
        f"{rounded(now - measured.at)} ago" if measured else _NONE,
        "paused" if "retrain" in facts.automatic.paused else coming,
    )


def _record(facts: Facts, findings: tuple[Finding, ...]) -> dict[str, Any]:
    versions = facts.versions
    return {
        "problem": facts.name,
        "state": state_of(findings),
        "findings": [asdict(finding) for finding in findings],
        "production": versions.production and versions.production.version,
        "production_since": versions.production and versions.production.since("production"),
        "canary": versions.canary and versions.canary.version,
        "newest": versions.newest and versions.newest.version,
        "documents": facts.figure("retrain", "snapshot_documents"),
        "waiting": [version.version for version in versions.waiting],
        "holdout": versions.production.metrics if versions.production else {},
        "corrected": facts.corrected,
        "fresh": [{"part": part or None, **asdict(each)} for part, each in facts.fresh],
        "last_success": {flow: each.at.isoformat() for flow, each in facts.measured.items()},
        "next_retraining": facts.next_retraining,
        "paused": sorted(facts.automatic.paused),
    }
