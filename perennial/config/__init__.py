"""The problem file: its schema, and how it is read and checked.

Nothing here loads a library of data science, so that a file is checked in a fraction of a second.
"""

from perennial.config.loader import LoadedProblems, load_problem, load_problems
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate, Features, TabularCandidate
from perennial.config.sections.decision import DecisionConfig
from perennial.config.sections.schedule import Schedule
from perennial.errors import ProblemError

__all__ = [
    "Candidate",
    "DecisionConfig",
    "Features",
    "LoadedProblems",
    "Problem",
    "ProblemError",
    "Schedule",
    "TabularCandidate",
    "load_problem",
    "load_problems",
]
