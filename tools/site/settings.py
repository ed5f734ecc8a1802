"""The page about the settings, from the classes that read the environment."""

from __future__ import annotations

from tools.settings_table import GROUPS, HEAD, rows
from tools.site.markdown import first_line

_INTRODUCTION = """\
# Settings

Every setting is an environment variable; an empty one counts as not set. Without any variable
everything runs on this machine.
"""


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for group in GROUPS:
        parts.append(f"## {group.__name__}\n\n{first_line(group.__doc__)}\n")
        parts.append("\n".join([*HEAD, *rows(group)]) + "\n")
    return "\n".join(parts)
