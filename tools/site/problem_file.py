"""The page about the keys of a problem file, from the model that reads it."""

from __future__ import annotations

from collections import Counter

from perennial.config.problem import Problem
from tools.site.markdown import text_of
from tools.site.schema import Document, anchor

_INTRODUCTION = """\
# Keys of a problem file

Each problem is one file, `problems/NAME.yaml`. `problems/sentiment.yaml` is the example for texts,
`problems/iris.yaml` the one for records. A key that is not listed here is an error, which names its
line. `NAME` stands for a name that you choose. A duration is written as in ISO 8601, such as
`PT15M` or `P30D`.
"""


def page() -> str:
    """Return the page."""
    schema = Problem.model_json_schema()
    # Its name is that of the file.
    keys = {key: part for key, part in schema["properties"].items() if key != "name"}
    required = [key for key in schema["required"] if key != "name"]
    document = Document(schema["$defs"], linked=True)
    top, *nodes = document.nodes({**schema, "properties": keys, "required": required})
    parts = [_INTRODUCTION, "## Top level\n", document.rows(top) + "\n"]
    same = Counter(node.path for node in nodes)
    for node in nodes:
        suffix = f" ({node.schema['title']})" if same[node.path] > 1 else ""
        parts.append(f"## {'.'.join(node.path)}{suffix} {{#{anchor(node)}}}\n")
        parts += [text_of(node.schema.get("description")) + "\n", document.rows(node) + "\n"]
    return "\n".join(parts)
