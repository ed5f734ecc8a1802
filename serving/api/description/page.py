"""The description of the API as a page for people, without scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import orjson

from serving.api.description.openapi import VERSION

_SUCCESS = 300
_JSON = "application/json"
_PYTHON = """\
import httpx

answer = httpx.post(
    "http://localhost:3000/v1/classify",
    json={"inputs": ["A warm, funny film."]},
    headers={"Authorization": "Bearer KEY"},  # if the service asks for keys
)
for prediction in answer.raise_for_status().json()["predictions"]:
    print(prediction["label"], prediction["probabilities"], prediction["known"])
"""

Api = Mapping[str, Any]


def html(description: bytes) -> bytes:
    """Return the description as a page."""
    api = orjson.loads(description)
    title = escape(api["info"]["title"])
    operations = list(_operations(api))
    contents = "".join(
        f'<li><a href="#{operation["operationId"]}"><code>{_place(method, path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    )
    sections = "".join(_section(api, *each) for each in operations)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="description" content="{escape(api["info"]["summary"])}">'
        f"<title>{title}: the API</title>"
        '<link rel="stylesheet" href="static/page.css"><link rel="stylesheet" '
        'href="static/docs.css"></head><body>'
        f'<header><h1>{title}: the API</h1><p class="quiet"><a href="./">The page</a> · '
        '<a href="openapi.json">OpenAPI</a></p></header>'
        f'<main class="docs"><section><p>{escape(api["info"]["description"])}</p>'
        f"<h2>Python</h2>{_pre(_PYTHON)}</section>"
        f'<nav aria-label="Operations"><ul>{contents}</ul></nav>{sections}</main></body></html>'
    ).encode()


def _operations(api: Api) -> Iterator[tuple[str, str, Api]]:
    for path, item in api["paths"].items():
        for method in ("get", "post"):
            if method in item:
                yield method.upper(), path, item[method]


def _place(method: str, path: str) -> str:
    return f"{method} {escape(path)}"


def _section(api: Api, method: str, path: str, operation: Api) -> str:
    """Return what there is to say about an operation."""
    sent = operation.get("requestBody", {}).get("content", {}).get(_JSON, {})
    parts = [
        f'<section id="{operation["operationId"]}"><h2><code>{_place(method, path)}</code></h2>',
        f"<p>{escape(operation['summary'])}. {escape(operation['description'])}</p>",
    ]
    if operation["security"]:
        parts.append("<p>Asks for an API key: <code>Authorization: Bearer KEY</code>.</p>")
    is_versioned = "servers" not in api["paths"][path]
    place = f"{VERSION}{path}" if is_versioned else path
    parts.append(_curl(method, place, sent.get("example"), has_key=bool(operation["security"])))
    if sent:
        parts.append(_fields(api, "Request", sent["schema"]))
    errors = []
    for status, answer in sorted(operation["responses"].items()):
        found = _resolve(api, answer)
        if int(status) < _SUCCESS:
            content = found["content"].get(_JSON, {})
            if "example" in content:
                parts.append(f"<h3>Answer {status}</h3>{_pre(_pretty(content['example']))}")
                parts.append(_fields(api, f"Answer {status}", content["schema"]))
        else:
            errors.append((status, escape(found["description"])))
    parts.append(_table("Errors", ("status", "reason"), errors))
    return "".join([*parts, "</section>"])


def _curl(method: str, path: str, example: object, *, has_key: bool) -> str:
    lines = [f"curl http://localhost:3000{path}"]
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
            escape(_kind(part)),
            escape(_said(part)),
        )
        for name, part in found.get("properties", {}).items()
    ]
    return _table(f"{title}: its fields", ("field", "type", "meaning"), rows) if rows else ""


def _kind(schema: Api) -> str:
    """Return the type of a value in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    kind = schema.get("type", "any value")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _said(schema: Api) -> str:
    """Return the meaning of a value, with its limits."""
    names = {
        "minItems": "at least {:,} entries",
        "maxItems": "at most {:,} entries",
        "maxLength": "at most {:,} characters",
        "minimum": "at least {:,}",
        "maximum": "at most {:,}",
    }
    limits = [shown.format(schema[name]) for name, shown in names.items() if name in schema]
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
