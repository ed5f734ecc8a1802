"""The page about the HTTP API, from the description that the service itself answers with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from perennial.settings import ServingSettings
from serving.api.description.openapi import openapi
from tools.site.markdown import code, json_block, table, text_of
from tools.site.schema import Document, Node

_INTRODUCTION = """\
# HTTP API

The service describes itself: `/openapi.json` for programs, `/docs` for people. The limits below are
the defaults of the [settings](settings.md). Our own operations stand below `/v1`, and without it as
well; those of the open inference protocol (`/v2`) and of MLflow stand where their clients ask.
"""


def page() -> str:
    """Return the page."""
    description = json.loads(openapi(ServingSettings()))
    schemas = description["components"]["schemas"]
    document = Document(schemas)
    parts = [_INTRODUCTION]
    for path, item in description["paths"].items():
        for method in ("get", "post"):
            if method in item:
                parts += _operation(f"{method.upper()} {path}", item[method], description)
    parts.append("## Types\n")
    for name, schema in schemas.items():
        parts += [f"### {name}\n", text_of(schema.get("description")) + "\n"]
        parts.append(document.rows(Node((name,), schema)) + "\n")
    return "\n".join(parts)


def _operation(
    title: str, operation: Mapping[str, Any], description: Mapping[str, Any]
) -> Iterator[str]:
    yield f"## {title}\n\n{operation['summary']}. {operation['description']}\n"
    parameters = [_resolved(each, description) for each in operation.get("parameters", ())]
    if parameters:
        rows = [(code(each["name"]), each["in"], each["description"]) for each in parameters]
        yield table(("parameter", "in", "meaning"), rows) + "\n"
    if body := operation.get("requestBody"):
        yield from _content("Request", body["content"])
    answers = {
        status: _resolved(answer, description) for status, answer in operation["responses"].items()
    }
    for status, answer in answers.items():
        if int(status) < 300:  # noqa: PLR2004 - HTTP's statuses of success
            yield from _content(f"Answer {status}", answer["content"])
    errors = [(status, said["description"]) for status, said in answers.items() if status >= "300"]
    if errors:
        yield table(("status", "reason"), sorted(errors)) + "\n"


def _resolved(node: Mapping[str, Any], description: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a node refers to, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = description
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Mapping[str, Any] = found
    return resolved


def _content(title: str, content: Mapping[str, Any]) -> Iterator[str]:
    for media, found in content.items():
        reference = found.get("schema", {}).get("$ref", "").rpartition("/")[2]
        shown = f", [{reference}](#{reference.lower()})" if reference else ""
        yield f"{title}: `{media}`{shown}.\n"
        if "example" in found:
            yield json_block(found["example"]) + "\n"
