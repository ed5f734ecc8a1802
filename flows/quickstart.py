"""Quickstart: seed, retrain, and classify three sentences with what is in Production then.

perennial quickstart
"""

from __future__ import annotations

from prefect import flow

from flows.retrain import retrain
from flows.seed import seed
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.scoring.classify import classify, show

PROBLEM = "sentiment"
SENTENCES = (
    "A warm, funny film with a wonderful cast. I would gladly watch it again!",
    "Two hours of my life that I will never get back. 2/10.",
    "The trailer was not bad, but the film isn't good either.",
)


@flow(name="quickstart", flow_run_name="quickstart")
def quickstart() -> None:
    """Go the whole way once: film reviews, a model in Production, three answers."""
    quiet_prefect_logs()
    seed(PROBLEM)
    retrain(PROBLEM)
    show(classify(PROBLEM, SENTENCES))


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(quickstart)
