"""The description of the API as a page for people, without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import orjson

from perennial.fields import FieldKind
from serving.api.description.openapi import VERSION
from serving.api.schemas import FieldValues, Model

_SUCCESS = 300
_JSON = "application/json"
_PYTHON = """\
import httpx

answer = httpx.post(
    "{address}{path}",
    json={body},
    headers={{"Authorization": "Bearer KEY"}},  # if the service asks for keys
)
for prediction in answer.raise_for_status().json()["predictions"]:
    print(prediction["label"], prediction["probabilities"], prediction["known"])
"""
# What stands in the examples if a request names no host that could stand there.
_ADDRESS = "http://localhost:3000"
_IS_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_CODE = re.compile("`([^`]+)`")
_CLASSIFY = f"{VERSION}/classify"
_MOST_FIELDS = 24
# Of each kind something that a field may have.
_SAMPLES: Mapping[FieldKind, object] = {
    "number": 1.5,
    "category": "a category",
    "boolean": True,
    "text": "Your text.",
    "date": "2026-11-28T14:30Z",
    "words": ["one", "two"],
}

Api = Mapping[str, Any]
# Its method, its path, and what is said about it.
Operation = tuple[str, str, Api]


def html(description: bytes, models: Sequence[Model], address: str = _ADDRESS) -> bytes:
    """Return the description as a page.

    Parameters
    ----------
    description : bytes
        The description, as JSON.
    models : sequence of Model
        What is served: each has a request of its own that works.
    address : str
        Where the service is, as whoever asks for the page knows it.
    """
    api = orjson.loads(description)
    address = address if _IS_ADDRESS.fullmatch(address) else _ADDRESS
    title = escape(api["info"]["title"])
    operations = list(_operations(api))
    contents = "".join(
        f'<li><a href="#{operation["operationId"]}"><code>{_place(method, path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    )
    sections = "".join(_section(api, *each, address) for each in operations)
    has_key = bool(api["security"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="description" content="{escape(api["info"]["summary"])}">'
        f"<title>{title}: the API</title>"
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="static/page.css">'
        '<link rel="stylesheet" href="static/docs.css"></head><body>'
        f'<header><h1>{title}: the API</h1><p class="quiet"><a href="./">The page</a> · '
        '<a href="openapi.json">OpenAPI</a></p></header>'
        f'<main class="docs"><section><p>{_prose(api["info"]["description"])}</p></section>'
        f"{''.join(_model(each, address, has_key=has_key) for each in models)}"
        f'<nav aria-label="Operations"><ul>{contents}<li><a href="#errors">Errors</a></li>'
        f'<li><a href="#objects">Objects</a></li></ul></nav>{sections}'
        f"{_errors(api, operations)}{_objects(api)}</main></body></html>"
    ).encode()


def _model(model: Model, address: str, *, has_key: bool) -> str:
    """Return how one model is asked, with an input that it takes."""
    body = {"model": model.model, "inputs": [_example(model)]}
    name = f"<code>{escape(model.model)}</code>"
    version = next((each.version for each in model.versions if each.alias == "production"), None)
    now = "" if version is None else f" Version {version} is in Production."
    kind = "texts" if model.fields is None else "records"
    labels = ", ".join(f"<code>{escape(label)}</code>" for label in model.classes)
    asked = _PYTHON.format(address=address, path=_CLASSIFY, body=_python(body))
    fields = [
        (f"<code>{escape(field)}</code>", escape(of), escape(_known(model.values.get(field))))
        for field, of in (model.fields or {}).items()
    ]
    caption = f"{model.model}: what it takes"
    return "".join(
        [
            f'<section id="model-{escape(model.model)}"><h2>The model {name}</h2>',
            f"<p>It takes {kind} and answers with one of {labels}.{now}</p>",
            _curl("POST", _CLASSIFY, body, address, has_key=has_key),
            _pre(asked),
            _table(caption, ("field", "kind", "what the model knows"), fields) if fields else "",
            "</section>",
        ]
    )


def _example(model: Model) -> object:
    """Return an input of a model: one of its problem's file, or one of what the model knows."""
    if model.examples:
        return model.examples[0]
    if model.fields is None:
        return "Your text."
    found: dict[str, object] = {}
    for name, kind in list(model.fields.items())[:_MOST_FIELDS]:
        values = model.values.get(name)
        if values is not None and values.typical is not None:
            found[name] = float(f"{values.typical:.3g}")
        elif values is not None and values.categories:
            found[name] = values.categories[0]
        else:
            found[name] = _SAMPLES[kind]
    return found


def _known(values: FieldValues | None) -> str:
    if values is None:
        return ""
    if values.categories is not None:
        shown = ", ".join(values.categories[:_MOST_FIELDS])
        more = len(values.categories) - _MOST_FIELDS
        return f"{shown} and {more:,} more" if more > 0 else shown
    if values.low is not None and values.high is not None:
        return f"mostly {values.low:.4g} to {values.high:.4g}"
    return "" if values.typical is None else f"typically {values.typical:.4g}"


def _python(value: object) -> str:
    """Return a value as it is written in Python, with the quotes of JSON."""
    if isinstance(value, Mapping):
        pairs = [f"{_python(name)}: {_python(each)}" for name, each in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_python, value))}]"
    return orjson.dumps(value).decode() if isinstance(value, str) else repr(value)


def _prose(text: str) -> str:
    """Return a text with what stands between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _operations(api: Api) -> Iterator[Operation]:
    for path, item in api["paths"].items():
        for method in ("get", "post"):
            if method in item:
                yield method.upper(), path, item[method]


def _place(method: str, path: str) -> str:
    return f"{method} {escape(path)}"


def _section(api: Api, method: str, path: str, operation: Api, address: str) -> str:
    """Return what there is to say about an operation."""
    sent = operation.get("requestBody", {}).get("content", {}).get(_JSON, {})
    parts = [
        f'<section id="{operation["operationId"]}"><h2><code>{_place(method, path)}</code></h2>',
        f"<p>{escape(operation['summary'])}. {_prose(operation['description'])}</p>",
    ]
    if operation["security"]:
        parts.append("<p>Asks for an API key: <code>Authorization: Bearer KEY</code>.</p>")
    is_versioned = "servers" not in api["paths"][path]
    place = f"{VERSION}{path}" if is_versioned else path
    has_key = bool(operation["security"])
    parts.append(_curl(method, place, sent.get("example"), address, has_key=has_key))
    if sent:
        parts.append(_fields(api, "Request", sent["schema"]))
    for status, answer in sorted(operation["responses"].items()):
        content = answer.get("content", {}).get(_JSON, {})
        if "example" in content:
            parts.append(f"<h3>Answer {status}</h3>{_pre(_pretty(content['example']))}")
            parts.append(_fields(api, f"Answer {status}", content["schema"]))
    failing = [status for status in sorted(operation["responses"]) if int(status) >= _SUCCESS]
    parts.append(f'<p><a href="#errors">Errors</a>: {", ".join(failing)}.</p>')
    return "".join([*parts, "</section>"])


def _errors(api: Api, operations: Sequence[Operation]) -> str:
    """Return what every status of a request that fails means, and how such an answer looks."""
    rows = dict[str, str]()
    for _, _, operation in operations:
        for status, answer in operation["responses"].items():
            if int(status) < _SUCCESS or status in rows:
                continue
            found = _resolve(api, answer)
            rows[status] = _prose(found["description"])
    parts = [
        _fields(api, "Answer", api["components"]["schemas"]["ErrorAnswer"]),
        _table("What each status means", ("status", "reason"), sorted(rows.items())),
    ]
    return f'<section id="errors"><h2>Errors</h2>{"".join(parts)}</section>'


def _objects(api: Api) -> str:
    """Return the fields of all objects that are parts of others."""
    known: Api = api["components"]["schemas"]
    inside = {name for schema in known.values() for name in _referred(schema)}
    parts = []
    for name in sorted(inside):
        schema = known[name]
        said = _prose(schema.get("description", "")).rstrip(".")
        what = "" if "properties" in schema else f" ({_kind(schema)})"
        parts.append(f'<h3 id="{_anchor(name)}"><code>{name}</code></h3><p>{said}{what}.</p>')
        parts.append(_fields(api, name, schema))
    return f'<section id="objects"><h2>Objects</h2>{"".join(parts)}</section>'


def _referred(node: object) -> Iterator[str]:
    """Yield the names of the schemas that a schema refers to."""
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield _name_of(node)
        for part in node.values():
            yield from _referred(part)
    elif isinstance(node, list):
        for part in node:
            yield from _referred(part)


def _name_of(reference: Api) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _anchor(name: str) -> str:
    return f"object-{name}"


def _curl(method: str, path: str, example: object, address: str, *, has_key: bool) -> str:
    lines = [f"curl {address}{path}"]
    if has_key:
        lines.append("-H 'Authorization: Bearer KEY'")
    if example is not None:
        body = orjson.dumps(example).decode().replace("'", "'\\''")
        lines += ["-H 'Content-Type: application/json'", f"-d '{body}'"]
    elif method == "POST":
        lines.append("-X POST")
    return _pre(" \\\n  ".join(lines))


def _fields(api: Api, title: str, schema: Api) -> str:
    """Return the fields of an object, with what they may be."""
    found = _resolve(api, schema)
    required = found.get("required", ())
    rows = [
        (
            f"<code>{escape(name)}</code>{'' if name in required else ' (optional)'}",
            _kind(part),
            _prose(_said(part)),
        )
        for name, part in found.get("properties", {}).items()
    ]
    return _table(f"{title}: its fields", ("field", "type", "meaning"), rows) if rows else ""


def _kind(schema: Api) -> str:
    """Return the type of a value in a word or two, with a link to an object's fields."""
    if "$ref" in schema:
        name = _name_of(schema)
        return f'<a href="#{_anchor(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return escape(" or ".join(map(str, schema["enum"])))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(values := schema.get("additionalProperties"), Mapping) and values:
        return f"object of {_kind(values)}"
    kind = schema.get("type", "any value")
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind))


def _said(schema: Api) -> str:
    """Return the meaning of a value, with its limits."""
    names = {
        "minItems": ("at least {:,} entry", "at least {:,} entries"),
        "maxItems": ("at most {:,} entry", "at most {:,} entries"),
        "maxLength": ("at most {:,} character", "at most {:,} characters"),
        "minimum": ("at least {:,}",) * 2,
        "maximum": ("at most {:,}",) * 2,
    }
    limits = [
        (one if schema[name] == 1 else many).format(schema[name])
        for name, (one, many) in names.items()
        if name in schema
    ]
    return "; ".join(filter(None, [schema.get("description", ""), *limits]))


def _resolve(api: Api, node: Api) -> Api:
    """Return what a node refers to, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = api
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Api = found
    return resolved


def _table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _pretty(example: object) -> str:
    return orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()


def _pre(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'
