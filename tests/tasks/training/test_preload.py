"""What threads would import at once is imported before they start."""

from __future__ import annotations

from tests.fresh import run_fresh


def test_fitting_the_film_reviews_imports_nothing_of_scikit_learn_s_machines_in_a_thread() -> None:
    code = (
        "import sys\n"
        "from perennial.config.loader import load_problem\n"
        "from perennial.settings import PROJECT\n"
        "from tasks.training.preload import load_candidates\n"
        "load_candidates(load_problem(PROJECT / 'problems' / 'sentiment.yaml'))\n"
        "print('sklearn.svm' in sys.modules and 'sklearn.linear_model' in sys.modules)\n"
    )

    assert run_fresh(code) == "True"
