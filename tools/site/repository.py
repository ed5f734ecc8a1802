"""The pages that stand elsewhere in the repository, with links that hold on the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from perennial.settings import PROJECT

# Page of the site -> file of the repository.
SOURCES = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "service.md": "serving/README.md",
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<to>[^)\s]+)\)")


def page(uri: str) -> str:
    """Return a file of the repository as a page of the site."""
    source = SOURCES[uri]
    return relink((PROJECT / source).read_text(), source, uri)


def relink(text: str, source: str, uri: str, pages: Mapping[str, str] = SOURCES) -> str:
    """Return a text whose links lead to pages of the site; a file that is none is named only."""
    moved = {file: page for page, file in pages.items()}

    def replace(found: re.Match[str]) -> str:
        to, hash_, anchor = found["to"].partition("#")
        if "://" in to or not to:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
        page = moved.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
        if page is None or not page.endswith(".md"):
            return found["text"]
        address = posixpath.relpath(page, posixpath.dirname(uri) or ".")
        return f"[{found['text']}]({address}{hash_}{anchor})"

    return _LINK.sub(replace, text)
