"""Quickstart: seed, retrain, and classify three sentences with what is in Production then.

perennial quickstart
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.retrain import retrain
from flows.seed import seed
from perennial.settings import get_settings
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.scoring.classify import classify, show

PROBLEM = "sentiment"
_EXAMPLES = Path(__file__).with_name("examples")
SENTENCES = (
    "A warm, funny film with a wonderful cast. I would gladly watch it again!",
    "Two hours of my life that I will never get back. 2/10.",
    "The trailer was not bad, but the film isn't good either.",
)


@flow(name="quickstart", flow_run_name="quickstart")
def quickstart() -> None:
    """Go the whole way once: film reviews, a model in Production, three answers."""
    quiet_prefect_logs()
    _bring_problem(get_settings().problems_dir)
    seed(PROBLEM)
    retrain(PROBLEM)
    show(classify(PROBLEM, SENTENCES))


def _bring_problem(folder: Path) -> None:
    """Copy the example's files to a project that does not have its problem yet."""
    if not (folder / f"{PROBLEM}.yaml").exists():
        for name in (f"cases/{PROBLEM}.yaml", f"{PROBLEM}.yaml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((_EXAMPLES / name).read_bytes())


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(quickstart)
