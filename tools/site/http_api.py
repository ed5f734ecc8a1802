"""The page about the HTTP API, from the description that the service itself answers with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from perennial.settings import ServingSettings
from serving.api.openapi import openapi
from tools.site.markdown import code, json_block, table, text_of
from tools.site.schema import Document, Node

_INTRODUCTION = """\
# HTTP API

The service describes itself: `/openapi.json` for programs, `/docs` for people. The limits below are
the defaults of the [settings](settings.md).
"""


def page() -> str:
    """Return the page."""
    description = json.loads(openapi(ServingSettings()))
    schemas = description["components"]["schemas"]
    document = Document(schemas)
    parts = [_INTRODUCTION]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    parts.append("## Types\n")
    for name, schema in schemas.items():
        parts += [f"### {name}\n", text_of(schema.get("description")) + "\n"]
        parts.append(document.rows(Node((name,), schema)) + "\n")
    return "\n".join(parts)


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {title}\n\n{operation['summary']}.\n"
    parameters = operation.get("parameters", ())
    if parameters:
        rows = [(code(each["name"]), each["in"], each["description"]) for each in parameters]
        yield table(("parameter", "in", "meaning"), rows) + "\n"
    if body := operation.get("requestBody"):
        yield from _content("Request", body["content"])
    answers = operation["responses"]
    for status, answer in answers.items():
        if int(status) < 300:  # noqa: PLR2004 - HTTP's statuses of success
            yield from _content(f"Answer {status}", answer["content"])
    errors = [(status, said["description"]) for status, said in answers.items() if status >= "300"]
    if errors:
        yield table(("status", "reason"), sorted(errors)) + "\n"


def _content(title: str, content: Mapping[str, Any]) -> Iterator[str]:
    for media, found in content.items():
        reference = found.get("schema", {}).get("$ref", "").rpartition("/")[2]
        shown = f", [{reference}](#{reference.lower()})" if reference else ""
        yield f"{title}: `{media}`{shown}.\n"
        if "example" in found:
            yield json_block(found["example"]) + "\n"
