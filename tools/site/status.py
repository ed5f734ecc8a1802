"""The page about the states of problems, from the rules by which `perennial status` judges."""

from __future__ import annotations

from perennial.status.rules import RULES
from tools.site.markdown import code, table

_INTRODUCTION = """\
# States of problems

`perennial status` shows every problem with its Production version, what that version achieved on
the holdout and by feedback since, and one word. The word is the state of the worst finding, and
`ok` without one; below the table each finding is a sentence that says what to do. The exit code is
1 if a problem is `failing`; `--json` is for programs. The console shows the same words and findings
([how](../how-to/use-the-console.md)).
"""


def page() -> str:
    """Return the page."""
    rows = [(code(rule.name), code(rule.state), rule.when) for rule in RULES]
    return "\n".join([_INTRODUCTION, table(("finding", "state", "when"), rows)])
