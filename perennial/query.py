"""Queries: MongoDB filters as people write them, in a problem's file or on a command line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MIDNIGHT = "T00:00:00Z"
# Beyond them MongoDB has no whole numbers.
_LEAST, _MOST = -(2**63), 2**63 - 1
_BY_SCRIPT = frozenset({"$where", "$function", "$accumulator"})
# What stands for a value in MongoDB's extended JSON; an operator has none of these names.
_VALUES = frozenset(
    {
        *("$date", "$oid", "$numberDecimal", "$numberLong", "$numberInt", "$numberDouble"),
        *("$uuid", "$binary", "$timestamp", "$regularExpression", "$minKey", "$maxKey", "$symbol"),
        *("$code", "$dbPointer", "$undefined"),
    }
)
_OPERATORS = frozenset(
    {
        *("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$and", "$or", "$nor", "$not"),
        *("$exists", "$type", "$mod", "$regex", "$options", "$all", "$elemMatch", "$size"),
        *("$bitsAllClear", "$bitsAllSet", "$bitsAnyClear", "$bitsAnySet", "$comment", "$text"),
        *("$search", "$language", "$caseSensitive", "$diacriticSensitive", "$geoIntersects"),
        *("$geoWithin", "$near", "$nearSphere", "$geometry", "$maxDistance", "$minDistance"),
        *("$box", "$center", "$centerSphere", "$polygon", "$uniqueDocs", "$sampleRate", "$rand"),
        *("$ref", "$id", "$db"),
    }
)
# Below them other languages begin.
_EXPRESSIONS = frozenset({"$expr", "$jsonSchema"})


class QueryError(ValueError):
    """A query cannot be used.

    Parameters
    ----------
    location : tuple of str
        Keys and positions that lead to what is wrong.
    problem : str
        What is wrong, as a predicate.
    remedy : str
        What to write instead, as a clause of its own.
    """

    def __init__(self, location: tuple[str, ...], problem: str, remedy: str) -> None:
        super().__init__(f"{'.'.join(location) or 'the query'} {problem}; {remedy}")
        self.location, self.problem, self.remedy = location, problem, remedy


def read_query(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a query with the values that MongoDB compares: dates, decimal numbers, ids.

    Dates may be those of YAML, which are UTC unless they say otherwise; every value may stand in
    MongoDB's extended JSON, such as ``{$date: 2026-01-01T00:00:00Z}`` or ``{$oid: ...}``. What is
    a query already stays as it is.

    Raises
    ------
    QueryError
        If a value is none of MongoDB's, an operator is unknown, or a script would run on the
        server.
    """
    query = _object(given, (), is_expression=False)
    if not isinstance(query, dict):
        raise QueryError((), "is a value", "write fields with their conditions")
    _encode(query)
    return query


def write_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query as JSON has it, which `read_query` reads again."""
    from bson import json_util

    written: dict[str, Any] = json.loads(
        json_util.dumps(query, json_options=json_util.RELAXED_JSON_OPTIONS)
    )
    return written


def _object(given: Mapping[Any, Any], location: tuple[str, ...], *, is_expression: bool) -> Any:
    for key in given:
        if not isinstance(key, str):
            raise QueryError(
                (*location, str(key)), "is no name of a field", "write it in quotes if it is one"
            )
        if "\0" in key:
            raise QueryError((*location, key), "has a zero character in it", "remove it")
    if _VALUES.intersection(given):
        return _extended(given, location)
    read = {}
    for key, value in given.items():
        place = (*location, key)
        _check_operator(key, place, is_expression=is_expression)
        read[key] = _value(value, place, is_expression=is_expression or key in _EXPRESSIONS)
    return read


def _check_operator(key: str, place: tuple[str, ...], *, is_expression: bool) -> None:
    if key in _BY_SCRIPT:
        remedy = "write a condition that needs no script, such as $expr"
        raise QueryError(place, "runs a script on the server", remedy)
    if key.startswith("$") and not is_expression and key not in _OPERATORS | _EXPRESSIONS:
        raise QueryError(
            place, "is no operator of MongoDB's queries", "look for its name in MongoDB's manual"
        )


def _value(value: Any, location: tuple[str, ...], *, is_expression: bool) -> Any:
    if isinstance(value, Mapping):
        return _object(value, location, is_expression=is_expression)
    if isinstance(value, list | tuple):
        return [
            _value(each, (*location, str(place)), is_expression=is_expression)
            for place, each in enumerate(value)
        ]
    return _scalar(value, location)


def _scalar(value: Any, location: tuple[str, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        return _number(value, location)
    if isinstance(value, date):
        return _moment(value, location)
    if isinstance(value, bytes) or _is_from_mongodb(value):
        return value
    if isinstance(value, str):
        return _text(value, location)
    raise QueryError(
        location, f"is a {type(value).__name__}", "write a value that JSON or MongoDB has"
    )


def _moment(value: date, location: tuple[str, ...]) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    # YAML's own class of dates is none that the driver knows; without a zone it is UTC.
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        moment = aware.astimezone(UTC)
    except OverflowError:
        raise QueryError(
            location, f"is {value.isoformat()}", "in UTC this is no date of the years 1 to 9999"
        ) from None
    return datetime.combine(moment.date(), moment.time(), UTC)


def _number(value: float | Decimal, location: tuple[str, ...]) -> Any:
    if type(value).__name__ == "ScalarBoolean":
        # What YAML has given a name; Python lets nobody derive from its own booleans.
        return bool(value)
    if isinstance(value, Decimal):
        from bson import Decimal128

        return Decimal128(value)
    return _whole(value, location) if isinstance(value, int) else float(value)


def _whole(value: int, location: tuple[str, ...]) -> Any:
    if not _LEAST <= value <= _MOST:
        remedy = (
            f"MongoDB's whole numbers end at {_MOST}, so write it in quotes if the documents "
            "have it as a text, or as {$numberDecimal: '...'} if as a decimal number"
        )
        raise QueryError(location, "is a number of more than 64 bits", remedy)
    return value if _is_from_mongodb(value) else int(value)


def _text(value: str, location: tuple[str, ...]) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise QueryError(location, "is not valid UTF-8", "remove half characters") from None
    return str(value)


def _extended(given: Mapping[str, Any], location: tuple[str, ...]) -> Any:
    """Return the value that an object of extended JSON stands for."""
    from bson import json_util
    from bson.codec_options import DatetimeConversion
    from bson.errors import BSONError

    name = next(iter(_VALUES.intersection(given)))
    if name in {"$code", "$symbol", "$dbPointer", "$undefined"}:
        raise QueryError((*location, name), "is a value of the past", "write a text or null")
    options = json_util.JSONOptions(
        tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    try:
        value = json_util.loads(json.dumps(_plain(given)), json_options=options)
    except (BSONError, TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as error:
        problem = f"is no value of MongoDB's extended JSON ({error})"
        raise QueryError((*location, name), problem, "write it as MongoDB's manual does") from None
    return _scalar(value, location) if isinstance(value, str | int | float | datetime) else value


def _plain(value: Any) -> Any:
    """Return extended JSON as a JSON parser would give it; dates of YAML become its texts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, date):
        return _moment(value, ()).isoformat().replace("+00:00", "Z")
    if isinstance(value, str) and _DAY.fullmatch(value):
        return f"{value}{_MIDNIGHT}"
    return value


def _encode(query: dict[str, Any]) -> None:
    """Refuse what the driver could not send, before anything runs."""
    import bson
    from bson.errors import BSONError

    try:
        bson.encode(query)
    except (BSONError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise QueryError((), f"cannot be sent to MongoDB ({error})", "correct it") from None


def _is_from_mongodb(value: object) -> bool:
    return type(value).__module__.startswith("bson.")
