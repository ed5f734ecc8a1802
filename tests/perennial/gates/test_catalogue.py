"""A gate is one file: it is found by being there, and its keys and doors are found with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import perennial.gates
from perennial.config.sections.gates import Gates
from perennial.gates.base import ModelOnHoldout
from perennial.gates.catalogue import find_gates, measure
from perennial.settings import PROJECT
from tests.fresh import run_fresh

CAPITALS = '''
from pydantic import Field

from perennial.gates.base import Conflict, Evidence, Gate, GateResult
from perennial.schema import Schema


class CapitalsKeys(Schema):
    """The key ``capitals``."""

    capitals: int | None = Field(default=None, ge=1, description="of the label")


class CapitalsGate(Gate[CapitalsKeys, int]):
    """Requires that labels have capitals."""

    name = "capitals"
    position = 35
    keys = CapitalsKeys

    def conflicts(self, asked, *, has):
        if asked.capitals == 13:
            yield ("capitals",), "is 13", "write another number"

    def measure(self, asked, subject):
        return asked.capitals

    def judge(self, asked, evidence, measured):
        if asked.capitals is not None:
            yield GateResult(name="capitals", passed=False, found=str(measured), required="none")


GATE = CapitalsGate()
'''
# What a person would write who adds a gate, in a room beside the one that is installed.
PROLOGUE = """
import json, sys
import perennial.gates
perennial.gates.__path__.append(sys.argv[1])
from perennial.config.loader import load_problem
from perennial.config.sections.gates import Gates
from perennial.errors import ProblemError
from pathlib import Path
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder with one more gate."""
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates" / "capitals.py").write_text(CAPITALS)
    return tmp_path


def run_with(room: Path, code: str) -> Any:
    command = [sys.executable, "-c", PROLOGUE + code, str(room / "gates")]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_file_is_a_gate_with_a_key_of_its_own(room: Path) -> None:
    code = """
from perennial.gates.base import Evidence, ModelOnHoldout
from perennial.gates.catalogue import find_gates, judge, measure
subject = ModelOnHoldout(None, None, None, None, {})
asked = Gates(capitals=3)
results = judge(asked, Evidence("f1", 0.9, 1, None, measured=measure(asked, subject)), [
    gate for gate in find_gates() if gate.name == "capitals"])
print(json.dumps([
    list(Gates.model_fields), [result.found for result in results],
    "capitals" in Gates().model_dump(), asked.model_dump()["capitals"],
]))
"""
    keys, found, is_written_when_off, written = run_with(room, code)

    assert keys[keys.index("not_worse") + 1] == "capitals"
    assert found == ["3"]
    assert not is_written_when_off
    assert written == 3


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0", "gates.capitals is 0; input should be greater than or equal to 1."),
        ("13", "gates.capitals is 13; write another number."),
    ],
)
def test_a_wrong_value_of_a_new_key_is_named_with_its_line(
    value: str, says: str, room: Path
) -> None:
    iris = (PROJECT / "problems" / "iris.yaml").read_text()
    (room / "iris.yaml").write_text(iris.replace("gates:\n", f"gates:\n  capitals: {value}\n", 1))
    line = iris.splitlines().index("gates:") + 2
    code = f"""
try:
    load_problem(Path({str(room / "iris.yaml")!r}))
except ProblemError as error:
    print(json.dumps(str(error)))
"""
    assert run_with(room, code) == f"{room / 'iris.yaml'}, line {line}: {says}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("GATE = ", "OTHER = "), "capitals.py needs a GATE"),
        (('name = "capitals"', 'name = "letters"'), "with the name 'capitals'"),
        (("capitals: int", "confidence: int"), "several gates have confidence"),
        (("default=None, ", ""), "there is none for capitals"),
    ],
)
def test_a_file_that_is_no_gate_is_refused(
    change: tuple[str, str], says: str, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (room / "gates" / "capitals.py").write_text(CAPITALS.replace(*change))
    monkeypatch.setattr(
        perennial.gates, "__path__", [*perennial.gates.__path__, str(room / "gates")]
    )
    monkeypatch.delitem(sys.modules, "perennial.gates.capitals", raising=False)

    with pytest.raises(TypeError, match=says):
        find_gates.__wrapped__()
    monkeypatch.delitem(sys.modules, "perennial.gates.capitals", raising=False)


def test_a_problem_that_asks_for_nothing_has_nothing_measured() -> None:
    untouched: Any = None
    subject = ModelOnHoldout(untouched, untouched, untouched, untouched, {})

    assert measure(Gates(), subject) == {}


def test_every_gate_has_a_place_of_its_own_and_says_when_it_keeps_a_challenger_out() -> None:
    gates = find_gates()

    assert len({gate.position for gate in gates}) == len(gates)
    assert all(gate.examples for gate in gates)


def test_gates_are_found_without_the_libraries_of_science() -> None:
    code = (
        "import json, sys\n"
        "from perennial.gates.catalogue import find_gates\n"
        "find_gates()\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = set(json.loads(run_fresh(code)))

    assert {"perennial", "pydantic"} <= loaded
    unwanted = {"numpy", "pandas", "scipy", "sklearn", "pyarrow", "mlflow", "prefect", "pymongo"}
    assert not loaded & unwanted
