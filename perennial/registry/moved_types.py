"""Names of our classes in model files of earlier layouts of the code.

A model file names the classes of its steps, and it stays what it was when it was registered. Where
a class has moved since, `rename_moved_types` puts its name of today in the place of the old one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from zipfile import ZipFile

_SCHEMA = "schema.json"


@dataclass(frozen=True)
class TypeName:
    """The name of a class in a model file.

    Attributes
    ----------
    module : str
        Its module.
    name : str
        Its name in the module.
    """

    module: str
    name: str


@dataclass(frozen=True)
class MovedType:
    """Where a class is today.

    Attributes
    ----------
    now : TypeName
        Its name of today.
    attributes : mapping of str to str
        Today's names of attributes that have been renamed, by their old names.
    """

    now: TypeName
    attributes: Mapping[str, str] = field(default_factory=dict)


# When a class of `TRUSTED_TYPES` moves, or an attribute of it is renamed, it gets a line here.
MOVED_TYPES: Mapping[TypeName, MovedType] = {
    TypeName(module, name): MovedType(TypeName(new_module, new_name))
    for module, name, new_module, new_name in (
        ("modeling.boosting", "BoostedTrees", "perennial.classifiers.xgboost", "XGBoostClassifier"),
        (
            "modeling.decided",
            "Decided",
            "perennial.classifiers.threshold_classifier",
            "ThresholdClassifier",
        ),
        ("modeling.features", "NgramCounter", "perennial.text.ngrams", "NgramCounter"),
        ("modeling.nb_svm", "NbSvm", "perennial.classifiers.nb_svm", "NbSvm"),
        ("modeling.svm", "SupportVectors", "perennial.classifiers.calibrated_svc", "CalibratedSVC"),
        ("modeling.table", "FieldEncoder", "perennial.inputs.encoder", "FieldEncoder"),
        ("modeling.table", "FieldReader", "perennial.inputs.encoder", "FieldReader"),
        ("modeling.text", "TextNormalizer", "perennial.text.normalizer", "TextNormalizer"),
    )
}


def rename_moved_types(content: bytes, moved: Mapping[TypeName, MovedType] = MOVED_TYPES) -> bytes:
    """Return a model file with the names that its classes have today.

    Only the names in `moved` are replaced; any other name stays, and is refused when the file is
    loaded unless it is trusted.

    Parameters
    ----------
    content : bytes
        A file in the format of skops, its digest verified.
    moved : mapping of TypeName to MovedType
        Today's names by the old ones.

    Raises
    ------
    BadZipFile, KeyError, ValueError
        If it is no such file.
    """
    with ZipFile(BytesIO(content)) as file:
        schema = file.read(_SCHEMA)
        # A file of today is not parsed twice.
        if not any(old.module.encode() in schema for old in moved):
            return content
        renamed = json.loads(schema, object_hook=lambda node: _renamed(node, moved))
        written = BytesIO()
        with ZipFile(written, "w") as copy:
            for member in file.infolist():
                is_schema = member.filename == _SCHEMA
                copy.writestr(member, json.dumps(renamed) if is_schema else file.read(member))
    return written.getvalue()


def _renamed(node: dict[str, Any], moved: Mapping[TypeName, MovedType]) -> dict[str, Any]:
    """Return a node of the schema with today's name of its class and of its attributes."""
    module, name = node.get("__module__"), node.get("__class__")
    # A dictionary of the model may have these keys, too; its values are nodes.
    if not (isinstance(module, str) and isinstance(name, str)):
        return node
    found = moved.get(TypeName(module, name))
    if found is None:
        return node
    renamed = node | {"__module__": found.now.module, "__class__": found.now.name}
    if found.attributes:
        state = node["content"]
        attributes = {found.attributes.get(key, key): v for key, v in state["content"].items()}
        renamed["content"] = state | {"content": attributes}
    return renamed
