"""Near-copies: how many are found, what is paired that is none, and how long it takes.

python -m benchmarks.near_copies

The 25,000 film reviews and the 8,530 snippets of the same package, each with near-copies of every
third text: one word changed, a typing error, an address or a signature appended. *Found* is the
share of them that get the representative of the text they were made of, of those that are long
enough to have a sketch. *Pairs* are the texts among the originals alone that are grouped with
another one whose content differs: `--show` prints them, so that a reader can judge.

Seconds are CPU seconds of one process, the median of the rounds: sketches of the originals, and
representatives of the originals, for as many snippets made of halves of two others, too.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import parser, write_json
from perennial.inputs.identity import CURRENT_IDENTITY, content_hashes
from perennial.inputs.near_copies import representatives, sketches
from tasks.data.seed import read_file, reviews_file

SEED = 1
# Every so many texts get a near-copy.
STEP = 3
SHORT = 100_000
CLAIMED_SHARE = 0.99

Change = Callable[[str, random.Random], str]


@dataclass(frozen=True)
class Kind:
    """What was measured on one kind of text.

    Attributes
    ----------
    texts, without_sketch : int
        All originals, and those too short to have near-copies.
    found : dict of str to float
        The share of near-copies that were found, by how they were made.
    pairs : list of tuple of str
        Originals that were grouped with an earlier one, with that one.
    seconds : dict of str to float
        CPU seconds.
    """

    texts: int
    without_sketch: int
    found: dict[str, float]
    pairs: list[tuple[str, str]]
    seconds: dict[str, float]


def changes(words: Sequence[str]) -> Mapping[str, Change]:
    """Return what is done to a text, by its name; changed words are some of `words`."""

    def word(text: str, rng: random.Random) -> str:
        parts = text.split(" ")
        parts[rng.randrange(len(parts))] = rng.choice(words)
        return " ".join(parts)

    def error(text: str, rng: random.Random) -> str:
        place = rng.randrange(len(text))
        return text[:place] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[place + 1 :]

    def address(text: str, rng: random.Random) -> str:
        return f"{text} http://example.org/{rng.randrange(10**6)}/{rng.choice(words)}"

    def signature(text: str, rng: random.Random) -> str:
        return (
            f"{text}\n-- \n{rng.choice(words).title()} {rng.choice(words).title()}, from my phone"
        )

    return {"word": word, "typing error": error, "address": address, "signature": signature}


def measure(texts: Sequence[str], rounds: int, made: Mapping[str, Change] | None) -> Kind:
    """Group the texts, and each kind of near-copies with them."""
    column = pa.array(texts, pa.large_string())
    content = content_hashes(column, CURRENT_IDENTITY)
    sketching, known = _timed(rounds, lambda: sketches(column))
    grouping, alone = _timed(rounds, lambda: representatives(known, content, np.arange(len(texts))))
    differs = [
        (row, int(other)) for row, other in enumerate(alone) if content[row] != content[int(other)]
    ]
    return Kind(
        len(texts),
        known.null_count,
        {name: _found(texts, known, content, change) for name, change in (made or {}).items()},
        [(texts[row], texts[other]) for row, other in differs],
        {"sketches": sketching, "representatives": grouping},
    )


def _found(
    texts: Sequence[str],
    known: pa.FixedSizeBinaryArray,
    content: pa.FixedSizeBinaryArray,
    change: Change,
) -> float:
    rng = random.Random(SEED)
    rows = [row for row in range(0, len(texts), STEP) if known[row].is_valid]
    changed = [change(texts[row], rng) for row in rows]
    found = representatives(
        pa.concat_arrays([known, sketches(changed)]),
        pa.concat_arrays([content, content_hashes(changed, CURRENT_IDENTITY)]),
        np.arange(len(texts) + len(changed)),
    )
    return float(np.mean(found[len(texts) :] == found[rows]))


def _timed(rounds: int, work: Callable[[], pa.Array | NDArray[np.intp]]) -> tuple[float, pa.Array]:
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return median(seconds), result


def read_texts() -> tuple[list[str], list[str], list[str]]:
    """Return the reviews, the snippets, and snippets made of halves of two of them."""
    package = read_file(reviews_file(), text="text", label="label")
    sources, texts = package["source"].to_pylist(), package["text"].to_pylist()
    reviews, snippets = (
        [text for text, source in zip(texts, sources, strict=True) if (source == "imdb") is is_long]
        for is_long in (True, False)
    )
    rng = random.Random(SEED)
    halves = [
        half for text in snippets for half in (text[: len(text) // 2], text[len(text) // 2 :])
    ]
    return reviews, snippets, [" ".join(rng.sample(halves, 2)) for _ in range(SHORT)]


def show(kinds: Mapping[str, Kind]) -> Table:
    """Return the figures as a table."""
    table = Table(title="Near-copies")
    names = next(iter(kinds.values())).found
    for name in ("texts", "without sketch", *names, "pairs", "sketches, s", "representatives, s"):
        table.add_column(name, justify="right")
    for name, kind in kinds.items():
        table.add_row(
            f"{kind.texts:,} {name}",
            f"{kind.without_sketch:,}",
            *(f"{kind.found[each]:.2%}" if each in kind.found else "" for each in names),
            f"{len(kind.pairs):,}",
            *(f"{seconds:.2f}" for seconds in kind.seconds.values()),
        )
    return table


def main() -> None:
    """Print the figures; fail if fewer near-copies are found than the documentation says."""
    options = parser(__doc__)
    options.add_argument("--show", action="store_true", help="print the pairs")
    arguments = options.parse_args()
    reviews, snippets, halves = read_texts()
    words = sorted({word for text in snippets for word in text.split() if word.isalpha()})
    made = changes([word for word in words if len(word) > 3])
    kinds = {
        "reviews": measure(reviews, arguments.rounds, made),
        "snippets": measure(snippets, arguments.rounds, made),
        "snippets of halves": measure(halves, arguments.rounds, None),
    }
    console = Console(width=160)
    console.print(show(kinds))
    if arguments.show:
        for name in ("reviews", "snippets"):
            for pair in kinds[name].pairs:
                console.print(*(text[:300] for text in pair), "", sep="\n", markup=False)
    write_json(arguments.json, {name: asdict(kind) for name, kind in kinds.items()})
    least = min(share for kind in kinds.values() for share in kind.found.values())
    if least < CLAIMED_SHARE:
        sys.exit(f"{least:.2%} of the near-copies of one kind were found, not {CLAIMED_SHARE:.0%}.")


if __name__ == "__main__":
    main()
