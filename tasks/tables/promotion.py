"""Tables about a promotion: the gates of a verdict, the checks of a canary."""

from __future__ import annotations

from perennial.gates.base import format_gain
from perennial.promotion.canary_analysis import CanaryAnalysis
from perennial.promotion.verdict import Verdict
from tasks.tables.base import TextTable


def gates_table(verdict: Verdict) -> TextTable:
    """Return a table: every gate of a verdict with its figure."""
    against = "no Production yet" if verdict.production is None else f"version {verdict.production}"
    return TextTable(
        f"Verdict on version {verdict.challenger} against {against}: {verdict.outcome}",
        ("gate", "found", "required", "passed"),
        [(g.name, g.found, g.required, "yes" if g.passed else "no") for g in verdict.gates],
    )


def figures_table(verdict: Verdict) -> TextTable | None:
    """Return a table: what to believe of a verdict's versions; None where nothing is known."""
    rows = []
    if verdict.since is not None:
        rows.append((f"Production, version {verdict.production}", str(verdict.since)))
    if verdict.selection is not None:
        chosen = f"{verdict.selection}: {verdict.selection.corrected:.4f} is to be expected"
        rows.append((f"challenger, version {verdict.challenger}", chosen))
    return TextTable("Honest figures", ("version", "figure"), rows) if rows else None


def baselines_table(verdict: Verdict) -> TextTable | None:
    """Return a table: the challenger beside what costs little; None where nothing is known."""
    if not verdict.baselines:
        return None
    return TextTable(
        f"Version {verdict.challenger} beside simple answers to the same documents",
        ("what answers", "metric", "its value", "gain of the challenger", "so"),
        [
            (each.name, each.metric, f"{each.value:.4f}", format_gain(each.gain), each.conclusion)
            for each in verdict.baselines
        ],
    )


def checks_table(analysis: CanaryAnalysis) -> TextTable:
    """Return a table of the checks of a canary against Production."""
    return TextTable(
        f"Canary, version {analysis.canary}, with {analysis.share:.0%} of the requests against "
        f"Production, version {analysis.production}",
        ("figure", "canary", "Production", "worse by", "allowed", "crossed"),
        [
            (
                check.name,
                f"{check.canary:.4g}",
                f"{check.production:.4g}",
                f"{check.worse.low:.4g} to {check.worse.high:.4g}",
                f"{check.limit:g}",
                "yes" if check.is_crossed else "no",
            )
            for check in analysis.checks
        ],
    )
