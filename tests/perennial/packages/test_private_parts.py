"""A private part of a library that is not as expected ends a program with one sentence."""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace

import pytest

from perennial.errors import OutsideError
from perennial.packages.private_parts import PrivatePart


def test_a_part_that_is_as_expected_is_returned() -> None:
    part = PrivatePart("pydantic", "pydantic", "BaseModel.copy", ("self", "include", "exclude"))
    anything = PrivatePart("pydantic", "pydantic", "BaseModel.copy")

    with pytest.raises(OutsideError, match="takes"):
        part.require()
    assert callable(anything.require())


@pytest.mark.parametrize(
    "part",
    [
        PrivatePart("pydantic", "pydantic.nowhere", "BaseModel"),
        PrivatePart("pydantic", "pydantic", "NoModel"),
        PrivatePart("pydantic", "pydantic", "BaseModel.nothing"),
        PrivatePart("pydantic", "pydantic", "BaseModel.model_fields_set", ("self",)),
        PrivatePart("pydantic", "pydantic", "BaseModel.model_config", ("self",)),
        PrivatePart("pydantic", "pydantic", "TypeAdapter.json_schema", ("self",)),
    ],
    ids=["module", "attribute", "attribute of attribute", "property", "value", "parameters"],
)
def test_another_part_is_refused_with_library_version_and_name(part: PrivatePart) -> None:
    with pytest.raises(OutsideError) as caught:
        part.require()

    message = str(caught.value)
    assert f"pydantic {version('pydantic')}" in message
    assert f"{part.module}.{part.name}" in message
    assert message.count(".\n") == 0
    assert message.endswith(".")


def test_an_entry_of_another_value_is_refused() -> None:
    part = PrivatePart("pydantic", "pydantic", "BaseModel.__pydantic_decorators__")

    with pytest.raises(OutsideError, match="instead of 'expected'"):
        part.require_entry("key", "expected")


def test_an_instance_without_the_attribute_is_refused() -> None:
    part = PrivatePart("pydantic", "pydantic", "BaseModel.attribute")

    part.require_on(SimpleNamespace(attribute=None))
    with pytest.raises(OutsideError, match=r"pydantic\.BaseModel\.attribute does not exist"):
        part.require_on(SimpleNamespace())


def test_a_library_that_is_not_installed_is_said_to_be_so() -> None:
    with pytest.raises(OutsideError, match="no-such-library \\(not installed\\)"):
        PrivatePart("no-such-library", "no_such_library", "part").require()
