"""Texts for retrainings, as many as are asked for."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.common import read_reviews
from tasks.data.seed import read_file, reviews_file

_TAIL_WORDS = 3
_FLIPPED = 0.08


class Corpus:
    """Labelled texts, as many as are asked for; every beginning has both labels."""

    @abstractmethod
    def documents(self, count: int) -> Iterator[tuple[str, int]]:
        """Yield that many texts with their labels; the same ones each time."""


@dataclass(frozen=True)
class Long(Corpus):
    """The film reviews."""

    texts: Sequence[str]
    labels: Sequence[int]

    @classmethod
    def read(cls) -> Long:
        """Read and shuffle the reviews."""
        rows = read_reviews().to_pylist()
        random.Random(0).shuffle(rows)
        return cls([row["text"] for row in rows], [row["label"] for row in rows])

    def documents(self, count: int) -> Iterator[tuple[str, int]]:
        """Yield reviews, then reviews with other words at the end."""
        draw = random.Random(1)
        for position in range(count):
            index = position % len(self.texts)
            text = self.texts[index]
            if position >= len(self.texts):
                words = draw.choice(self.texts).split()
                text = " ".join([text, *draw.sample(words, min(_TAIL_WORDS, len(words)))])
            yield text, self.labels[index]


@dataclass(frozen=True)
class Short(Corpus):
    """Sentences made of halves of two snippets."""

    halves: Sequence[Sequence[str]]

    @classmethod
    def read(cls) -> Short:
        """Read the snippets and halve them, by label."""
        halves: tuple[list[str], list[str]] = ([], [])
        for row in read_file(reviews_file(), text="text", label="label").to_pylist():
            if row["source"] != "imdb":
                text = row["text"]
                middle = len(text) // 2
                halves[int(row["label"])].extend((text[:middle], text[middle:]))
        return cls(halves)

    def documents(self, count: int) -> Iterator[tuple[str, int]]:
        """Yield sentences, of which a share has the other label."""
        draw = random.Random(1)
        for _ in range(count):
            label = draw.randrange(2)
            text = " ".join(draw.sample(self.halves[label], 2))
            yield text, label ^ (draw.random() < _FLIPPED)


CORPORA: Mapping[str, type[Long | Short]] = {"long": Long, "short": Short}
