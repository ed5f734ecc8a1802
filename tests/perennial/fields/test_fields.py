"""Kinds of fields: each is one module, which everything else finds by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from perennial.fields import KINDS
from perennial.settings import PROJECT
from tests.fresh import run_fresh

_DECADE = '''
"""Decades."""
from perennial.fields.base import Kind, describe


class Decade(Kind):
    """A year that ends with 0."""

    name = "decade"
    position = 70
    is_continuous = True

    def check(self, value):
        """Return the year."""
        if value % 10:
            raise ValueError(f"is {value}, which is no decade")
        return value

    def arrow_type(self):
        """Return the type int64."""
        import pyarrow as pa

        return pa.int64()


KIND = Decade()
'''
_USE = """
import json, sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

# The room with one more file in it, in the place of the real one.
folder = Path({folder!r})
room = folder / "fields"
spec = spec_from_file_location(
    "perennial.fields", room / "__init__.py", submodule_search_locations=[str(room)]
)
sys.modules["perennial.fields"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["perennial.fields"])

from perennial.config import ProblemError, load_problem
from perennial.inputs.base import inputs_of
from perennial.inputs.encoder import FieldEncoder, FieldReader
from perennial.inputs.validation import UnusableError

problem = load_problem(folder / "films.yaml")
inputs = inputs_of(problem)
try:
    inputs.read({{"decade": 1985}})
except UnusableError as error:
    refused = str(error)
columns = FieldReader(dict(inputs.fields)).transform([{{"decade": 1980}}, {{"decade": 1990}}])
matrix = FieldEncoder().fit(columns).transform(columns)
try:
    load_problem(folder / "books.yaml")
except ProblemError as error:
    complaint = str(error)
print(json.dumps([str(inputs.column.type), refused, matrix.tolist(), complaint]))
"""


def test_every_kind_is_named_like_its_module() -> None:
    modules = {file.stem for file in (PROJECT / "perennial" / "fields").glob("*.py")}

    assert set(KINDS) == modules - {"__init__", "base"}
    assert list(KINDS) == ["number", "category", "boolean", "text", "date", "words"]


@pytest.mark.slow
def test_a_new_kind_is_one_new_module(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "perennial" / "fields", tmp_path / "fields")
    (tmp_path / "fields" / "decade.py").write_text(_DECADE)
    iris = (PROJECT / "problems" / "iris.yaml").read_text()
    before, _, after = iris.partition("inputs:")
    films = f"{before}inputs: {{decade: decade}}\nlabels:{after.partition('labels:')[2]}"
    (tmp_path / "films.yaml").write_text(films)
    (tmp_path / "books.yaml").write_text(films.replace("decade: decade", "decade: century"))

    found = json.loads(run_fresh(_USE.format(folder=str(tmp_path))))

    arrow, refused, matrix, complaint = found
    assert arrow == "struct<decade: int64>"
    assert refused == "decade is 1985, which is no decade: 1985"
    assert matrix == [[1980.0], [1990.0]]
    assert "input should be 'number'" in complaint
    assert complaint.endswith("or 'decade'.")
