"""Sources: a gain that exists in one source of documents alone, and who gives which feedback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.commands import counted
from perennial.gates.base import (
    NOT_MEASURED,
    Comparison,
    Evidence,
    FeedbackAgreement,
    Gate,
    GateResult,
    format_gain,
)
from perennial.schema import Schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.metrics import Interval, Predictions

# The source of documents that the service makes of feedback; the problem's file calls it so, too.
_FEEDBACK = "feedback"
_SOURCE, _ABSENT = "source", "(none)"
_SHOWN = 10
# By how much Production may seem better on feedback before a reader is told.
_MUCH_BETTER = 0.1
# From how many documents on a source is named that lies so far below the others.
_ENOUGH, _FAR_BELOW = 50, 0.2
_SHOWN_ONLY = "shown only"


class SourcesKeys(Schema):
    """The key ``sources``."""

    sources: Literal["feedback", "each", "none"] = "feedback"


@dataclass(frozen=True, eq=False)
class Sources:
    """Where the documents of a comparison come from.

    Attributes
    ----------
    names : ndarray of str, shape (n_documents,)
        Source of each document that both versions predict.
    feedback : sequence of FeedbackAgreement
        How much of the feedback that neither is judged on Production agrees with, by sender.
    """

    names: NDArray[np.str_]
    feedback: tuple[FeedbackAgreement, ...] = ()


class SourcesGate(Gate[SourcesKeys, Sources]):
    """Requires that a gain remains, and is proved, without the documents of one source.

    Feedback is left out by default: whoever may call the service must not decide which model is
    better, even where a problem trusts feedback like the collection. To ask the same of every
    source is a choice, as a source that is new is a legitimate reason for a gain of its own.
    Without a proved gain there is nothing to doubt; then the challenger must not be proved to be
    worse on the rest.
    """

    name = "sources"
    position = 45
    keys = SourcesKeys
    examples = (
        (
            "`sources: feedback`",
            (
                "the default: feedback is judged on (`feedback: {use: holdout}`), and without it "
                "the gain over Production is not proved; or Production contradicts the labels of a "
                "source, and without that one the challenger is proved to be worse; `each`: there "
                "is any source without which the gain is not proved"
            ),
        ),
    )
    section = """\
## Sources
Where the holdout has documents of several sources, the verdict shows the gain on each of them. A gain that exists in
one source alone may be that source's doing: 1,200 pieces of feedback with a wrong label and a rare word teach a model
that word, and they reward it for that where they are judged on. So the gain has to be proved once more without
feedback, whatever `feedback.use` says. `sources: each` asks for the same without any one source, for collections that
others write into as well; a source that is new then needs a person, or a challenger that is better elsewhere, too.
`sources: none` shows the gains and asks for nothing: for a problem whose reviewers label through the service alone. A
source whose labels Production contradicts far more often than the others' is named: are they right? By default a
challenger must not be proved to be worse without such a source: who learns wrong labels is better only where they are.

Feedback that is not judged on is shown as well: with how much of what each sender says Production agrees, beside how
often it is right on the holdout. A sender far below that is wrong, or reports errors alone; one far above may confirm
answers unread. `perennial feedback NAME` lists who has sent what, and takes it out again.
"""  # noqa: E501

    def look_up(self, asked: SourcesKeys, comparison: Comparison) -> Sources | None:
        """Return the sources of the documents that both versions predict."""
        if comparison.traits is None:
            return None
        import numpy as np
        import pyarrow.compute as pc

        column = pc.fill_null(comparison.traits[_SOURCE], _ABSENT)
        return Sources(np.array(column.to_pylist(), np.str_), tuple(comparison.feedback))

    def judge(
        self, asked: SourcesKeys, evidence: Evidence, measured: Sources | None
    ) -> Iterator[GateResult]:
        """Yield the gain without each source that is asked for, by source, and who says what."""
        production = evidence.production
        if production is None:
            return
        if measured is None:
            if asked.sources == "each":
                yield GateResult(
                    name="gain without any one source",
                    passed=False,
                    found=NOT_MEASURED,
                    required="interval above 0",
                )
            return
        counts = Counter(measured.names.tolist())
        if len(counts) > 1:
            yield from _judge_each(asked, evidence, production, measured, counts)
            yield _by_source(evidence, production, measured, counts)
        if measured.feedback:
            yield _by_sender(measured.feedback, production)


def _judge_each(
    asked: SourcesKeys,
    evidence: Evidence,
    production: Predictions,
    measured: Sources,
    counts: Counter[str],
) -> Iterator[GateResult]:
    """Yield the gain without a source, for each source that is asked for."""
    left_out = {"feedback": [_FEEDBACK], "each": sorted(counts), "none": []}[asked.sources]
    # It is shown in any case what the verdict is without feedback.
    shown = [_FEEDBACK] if asked.sources == "none" else []
    everything = _gain(evidence, production, measured.names != "")
    if asked.sources == "feedback":
        yield from _judge_contradicted(evidence, production, measured, counts)
    for source in (*left_out, *shown):
        if source not in counts:
            continue
        rest = _gain(evidence, production, measured.names != source)
        is_proved = everything is not None and everything.low > 0
        holds = rest is not None and (rest.low > 0 if is_proved else rest.high >= 0)
        required = "interval above 0, as with it" if is_proved else "not proved to be worse"
        yield GateResult(
            name=f"gain without source {source}",
            passed=holds or source in shown,
            found=_described(evidence, rest, len(measured.names) - counts[source]),
            required=_SHOWN_ONLY if source in shown else required,
        )


def _judge_contradicted(
    evidence: Evidence, production: Predictions, measured: Sources, counts: Counter[str]
) -> Iterator[GateResult]:
    """Yield the gain without each source whose labels Production contradicts, feedback apart.

    Who learns wrong labels seems better where they are, and is worse wherever they are not.
    """
    for source, _, _ in _far_below(production, measured, counts):
        if source == _FEEDBACK:
            continue
        rest = _gain(evidence, production, measured.names != source)
        yield GateResult(
            name=f"gain without source {source}",
            passed=rest is None or rest.high >= 0,
            found=_described(evidence, rest, len(measured.names) - counts[source]),
            required="not proved to be worse, as Production contradicts the labels of this source",
        )


def _by_source(
    evidence: Evidence, production: Predictions, measured: Sources, counts: Counter[str]
) -> GateResult:
    found = []
    for source, documents in counts.most_common(_SHOWN):
        gain = _gain(evidence, production, measured.names == source)
        found.append(f"{source}: {_described(evidence, gain, documents)}")
    found += [
        f"of {source} Production is right about {share:.1%}, of the rest about {elsewhere:.1%}: "
        f"look at the labels of {source}"
        for source, share, elsewhere in _far_below(production, measured, counts)
    ]
    return GateResult(
        name="gain by source", passed=True, found="; ".join(found), required=_SHOWN_ONLY
    )


def _far_below(
    production: Predictions, measured: Sources, counts: Counter[str]
) -> Iterator[tuple[str, float, float]]:
    """Yield sources of which Production is right about far fewer documents than about the rest.

    Each comes with the share about which Production is right there, and elsewhere.
    """
    right = production.predicted == production.truth
    for source, documents in counts.most_common():
        rows = measured.names == source
        share, elsewhere = float(right[rows].mean()), float(right[~rows].mean())
        if documents >= _ENOUGH and share < elsewhere - _FAR_BELOW:
            yield source, share, elsewhere


def _by_sender(feedback: tuple[FeedbackAgreement, ...], production: Predictions) -> GateResult:
    """Say with how much of the feedback Production agrees, sender by sender."""
    right = float((production.predicted == production.truth).mean())
    ordered = sorted(feedback, key=lambda each: (-each.documents, each.sender))
    found = [
        f"{each.sender}: {each.agreeing:,} of {each.documents:,} ({each.share:.1%})"
        for each in ordered[:_SHOWN]
    ]
    agreeing, documents = (
        sum(each.agreeing for each in feedback),
        sum(each.documents for each in feedback),
    )
    warning = ""
    if agreeing / documents > right + _MUCH_BETTER:
        warning = "; that is much more than on the holdout, so some of it may be confirmed unread"
    return GateResult(
        name="feedback that Production agrees with, by sender",
        passed=True,
        found=f"{'; '.join(found)}; on the holdout it is right about {right:.1%}{warning}",
        required=_SHOWN_ONLY,
    )


def _gain(evidence: Evidence, production: Predictions, rows: NDArray[np.bool_]) -> Interval | None:
    """Return the gain on some documents; None where the metric does not exist."""
    from perennial.metrics import difference

    one, other = evidence.challenger.take(rows), production.take(rows)
    has_all = len(set(one.truth.tolist())) == len(one.classes)
    if not rows.any() or (evidence.metric == "roc_auc" and not has_all):
        return None
    return difference(
        evidence.metric, one, other, confidence=evidence.confidence, seed=evidence.seed
    )


def _described(evidence: Evidence, gain: Interval | None, documents: int) -> str:
    on = counted(documents, "document")
    if gain is None:
        return f"no {evidence.metric} on {on}"
    return f"{evidence.metric} {format_gain(gain)} on {on}"


GATE = SourcesGate()
