"""The page: its files, read once and kept in memory."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE_FOLDER = Path(__file__).parents[1] / "page"
INDEX = "index.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True)
class File:
    """A file as it is sent, and packed with gzip if that makes it smaller."""

    content: bytes
    headers: Mapping[str, str]
    packed: bytes | None = None

    @property
    def etag(self) -> str:
        """Digest of the content."""
        return self.headers["ETag"]


def page_file(name: str, content: bytes) -> File:
    """Return a file with the headers that it is sent with."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind.endswith(("javascript", "json", "svg+xml"))
    headers = {
        "Content-Type": f"{kind}; charset=utf-8" if text else kind,
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        # The browser asks each time whether it has changed; the answer is mostly 304.
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "Vary": "Accept-Encoding",
    }
    return File(content, headers, gzip.compress(content, mtime=0) if text else None)


def read_files(folder: Path = PAGE_FOLDER) -> dict[str, File]:
    """Return the files of a folder by their paths in it."""
    return {
        str(path.relative_to(folder)): page_file(path.name, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
