"""Write the film reviews of the smoke test on Kubernetes as a file that fits into a ConfigMap.

python -m tools.manifests.reviews FILE
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from perennial.errors import OutsideError
from tasks.data.seed import read_file, reviews_file

# Of the snippets, so that a retraining on a small cluster takes seconds.
_EVERY = 4
_COLUMNS = ("text", "label")
# Kubernetes refuses a ConfigMap of more.
MOST_BYTES = 2**20
# What YAML calls unprintable, and more than the control characters of ASCII: texts that once were
# in an encoding of Windows have those from 0x80 on, and kubectl refuses its own YAML over them.
_UNPRINTABLE = re.compile(
    "[^\\t\\n\\r\\x20-\\x7e\\xa0-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)


def printable(text: str) -> str:
    """Return a text with a space in place of each character that YAML cannot carry."""
    return _UNPRINTABLE.sub(" ", text)


def to_csv(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Return rows as a CSV file that a ConfigMap can hold.

    Raises
    ------
    OutsideError
        If it is too large for one.
    """
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, _COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**row, "text": printable(str(row["text"]))} for row in rows)
    content = buffer.getvalue().encode()
    if len(content) > MOST_BYTES:
        raise OutsideError(
            f"The reviews take {len(content):,} bytes and a ConfigMap holds {MOST_BYTES:,}; take "
            "fewer of them."
        )
    return content


def write_reviews(path: Path) -> None:
    """Write some of the film reviews to a file."""
    rows = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    path.write_bytes(to_csv(rows.to_pylist()[::_EVERY]))


def main() -> None:
    """Write the reviews."""
    write_reviews(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
