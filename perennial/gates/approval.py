"""Approval: who promotes a challenger that passes every other gate, and a person's answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from perennial.gates.base import Evidence, Gate, GateResult
from perennial.schema import Schema

Promotion = Literal["auto", "approve", "never"]
APPROVAL = "approval"
_LONGEST = 1_000


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


class ApprovalKeys(Schema):
    """The keys ``promotion`` and ``answer_within``."""

    promotion: Promotion = Field(
        default="auto", description="when every gate is passed: promote, ask a person, or neither"
    )
    answer_within: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        le=timedelta(days=3650),
        description="how long a person may answer promotion: approve; silence is a no",
    )


class Approval(BaseModel):
    """A person's answer about a challenger that has passed every gate.

    Attributes
    ----------
    approved : bool
        Whether the challenger may become Production.
    by, why : str
        The person and the reason, each cut after 1,000 characters.
    """

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: Annotated[str, AfterValidator(_shorten)]
    why: Annotated[str, AfterValidator(_shorten)]

    def __str__(self) -> str:
        return f"{'yes' if self.approved else 'no'}, by {self.by}: {self.why}"


class ApprovalGate(Gate[ApprovalKeys, None]):
    """Requires a person's yes, if the problem wants one.

    A person is asked when all other gates are passed, and answers later: the verdict waits until
    then, and takes up the answer in `perennial.promotion.verdict.Verdict.answered`.
    """

    name = "approval"
    position = 90
    keys = ApprovalKeys
    looks_at = "person"
    in_every_digest = True
    examples = (
        (
            "`promotion: auto | approve | never`",
            "`approve`: nobody says yes in time; `never`: always, until a person promotes it",
        ),
    )
    section = """\
## A person's yes
With `promotion: approve` a retraining whose challenger passes every gate ends with the verdict *waiting*. The question
is kept by tags of the version (`perennial.question.*`) and by nothing else: no run stays alive for it, nothing is
locked, and a restart of any server loses nothing. People are told by the event `perennial.version.waiting`, which an
automation sends to `OPERATION_NOTIFY_URL`, by the report of the retraining, by the version's description in MLflow, and
at the terminal. They answer with

```sh
perennial approve sentiment --version 7 --why "I read fifty of its answers"
perennial approve sentiment --version 7 --refuse --why "it is rude to short texts"
```

or by the button *Run* of the deployment `approve/sentiment` in Prefect, whose form asks for the version, yes or no, who
says so, and why.

| then | |
|---|---|
| yes | the version is compared once more, with what is Production by now, on the holdout of its own snapshot and by the gates that the file has today; if it passes, it becomes Production or begins as a canary, and the history says who approved it and why |
| no | it is kept; the verdict says who refused it and why |
| nobody answers within `answer_within` (default `P1D`, one day) | it is kept: the next `retrain` or `monitor` writes that down, and a later answer is refused |
| a newer challenger passes every gate | the newer one is asked about; the older one is kept, and says so |
| `perennial rollback sentiment --version 7 --why "..."` makes it Production | that is a yes |

Without a Prefect server a retraining at a terminal asks at once. A terminal that is closed without an answer leaves the
question open.
"""  # noqa: E501

    def judge(
        self, asked: ApprovalKeys, evidence: Evidence, measured: None
    ) -> Iterable[GateResult]:
        """Yield nothing: the answer comes after the verdict."""
        return ()


def judge_answer(approval: Approval) -> GateResult:
    """Return the result of a person's answer."""
    return GateResult(
        name=APPROVAL,
        passed=approval.approved,
        found=str(approval),
        required="a person's yes",
    )


GATE = ApprovalGate()
