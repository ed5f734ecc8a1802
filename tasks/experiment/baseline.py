"""Baseline: write the candidate that retrainings fit into the problem's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.config.loader import load_problem
from perennial.config.sections.candidates import Candidate, TabularCandidate
from perennial.errors import OutsideError

if TYPE_CHECKING:
    from ruamel.yaml import YAML

# Longer than any: a line is not broken where the author did not break it.
_LONGEST_LINE = 4096


@task(name="write baseline", cache_policy=NO_CACHE)
def write_baseline(path: Path, name: str, candidate: Candidate | TabularCandidate) -> None:
    """Make a candidate the baseline of a problem's file; all else in it stays as it is.

    The candidate is added, or if the file has it already, gets these parameters. Comments and
    layout stay. Whoever reads the file meanwhile sees the old one or the new one.

    Raises
    ------
    OutsideError
        If the file cannot be written.
    """
    try:
        text = path.read_text(encoding="utf-8")
        yaml = _yaml_like(text)
        document = yaml.load(text)
        if name in document["candidates"]:
            _set_parameters(document["candidates"][name], candidate.parameters)
        else:
            document["candidates"][name] = _as_written(candidate)
        if "baseline" not in document:
            document.insert(list(document).index("candidates"), "baseline", name)
        document["baseline"] = name
        with TemporaryDirectory(dir=path.parent) as scratch:
            written = Path(scratch) / path.name
            yaml.dump(document, written)
            load_problem(written, folder=path.parent)
            written.replace(path)
    except OSError as error:
        raise OutsideError(
            f"{path} cannot be written: {error.strerror}; write 'baseline: {name}' and "
            f"candidates.{name} there yourself."
        ) from None
    get_run_logger().info("Wrote %s to %s as its baseline.", name, path)


def _yaml_like(text: str) -> YAML:
    """Return what writes YAML with the quotes, lines and indented lists of a text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _LONGEST_LINE
    _, _, offset = load_yaml_guess_indent(text)
    if offset:
        yaml.indent(sequence=offset + len("- "), offset=offset)
    return yaml


def _set_parameters(written: Any, parameters: Mapping[str, object]) -> None:
    """Change what differs; what is written beside the rest stays."""
    from ruamel.yaml.comments import CommentedMap

    if not parameters:
        written.pop("parameters", None)
        return
    if "parameters" not in written:
        written["parameters"] = CommentedMap()
        written["parameters"].fa.set_flow_style()
    known = written["parameters"]
    for key in [key for key in known if key not in parameters]:
        del known[key]
    for key, value in parameters.items():
        if key not in known or known[key] != value:
            known[key] = value


def _as_written(candidate: Candidate | TabularCandidate) -> Any:
    """Return a candidate as a person would write it: without defaults, short parts on one line."""
    from ruamel.yaml.comments import CommentedMap

    written = CommentedMap()
    for key, value in candidate.model_dump(mode="json", exclude_defaults=True).items():
        written[key] = value
        if isinstance(value, dict):
            written[key] = CommentedMap(value)
            written[key].fa.set_flow_style()
    return written
