"""Stage 2: clean the texts, one pandas `apply` per step.

By default the stop words are read anew for every row, as widely copied tutorial code does;
`--stop-words-once` reads them once.
"""

import re
import string
from pathlib import Path

import nltk
import pandas as pd
from nltk.corpus import stopwords
from nltk.stem import WordNetLemmatizer

from benchmarks.tutorial.files import TEXT, Files, parser

MINIMUM_WORDS = 3
URL = re.compile(r"https?://\S+|www\.\S+")
TAG = re.compile(r"<[^>]+>")
EMPHASIS = re.compile(r"([!?])")
NEITHER_WORD_NOR_EMPHASIS = str.maketrans(
    {mark: " " for mark in string.punctuation if mark not in "'!?"}
)
PUNCTUATION_TO_SPACE = str.maketrans(string.punctuation, " " * len(string.punctuation))


def lower_case(text: str) -> str:
    """Return `text` in lower case."""
    return text.lower()


def remove_urls(text: str) -> str:
    """Return `text` without web addresses."""
    return URL.sub("", text)


def remove_punctuation(text: str) -> str:
    """Return `text` with ASCII punctuation turned into spaces."""
    return text.translate(PUNCTUATION_TO_SPACE)


def remove_numbers(text: str) -> str:
    """Return `text` without digit characters."""
    return re.sub(r"\d+", "", text)


def remove_stop_words(text: str, stop_words: set[str] | None = None) -> str:
    """Return `text` without English stop words, which are read from NLTK unless given."""
    if stop_words is None:
        stop_words = set(stopwords.words("english"))
    return " ".join(word for word in text.split() if word not in stop_words)


def lemmatize(text: str) -> str:
    """Return `text` with each word, taken for a noun, replaced by its lemma."""
    lemmatizer = WordNetLemmatizer()
    return " ".join(lemmatizer.lemmatize(word) for word in text.split())


def remove_tags(text: str) -> str:
    """Return `text` with HTML tags turned into spaces."""
    return TAG.sub(" ", text)


def remove_quiet_punctuation(text: str) -> str:
    """Return `text` with ASCII punctuation but apostrophes, "!" and "?" turned into spaces."""
    return text.translate(NEITHER_WORD_NOR_EMPHASIS)


def separate_emphasis(text: str) -> str:
    """Return `text` with each "!" and "?" as a word of its own."""
    return EMPHASIS.sub(r" \1 ", text)


def clean_text(series: pd.Series, *, stop_words_per_row: bool = True) -> pd.Series:
    """Return the texts after the plain preparation.

    Parameters
    ----------
    series
        The texts as they were typed.
    stop_words_per_row
        Whether NLTK's stop words are read again for every text, or once for all.
    """
    stop_words = None if stop_words_per_row else set(stopwords.words("english"))
    series = series.apply(lower_case)
    series = series.apply(remove_urls)
    series = series.apply(remove_punctuation)
    series = series.apply(remove_numbers)
    series = series.apply(remove_stop_words, stop_words=stop_words)
    return series.apply(lemmatize)


def clean_expressively(series: pd.Series) -> pd.Series:
    """Return the texts after the expressive preparation."""
    series = series.apply(remove_tags)
    series = series.apply(lower_case)
    series = series.apply(remove_urls)
    series = series.apply(remove_quiet_punctuation)
    return series.apply(separate_emphasis)


def drop_short_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have at least `MINIMUM_WORDS` words left."""
    return frame[frame[TEXT].apply(lambda text: len(text.split())) >= MINIMUM_WORDS]


def clean(source: Path, target: Path, preparation: str, *, stop_words_per_row: bool = True) -> None:
    """Clean the texts of one CSV file into another."""
    frame = pd.read_csv(source)
    frame[TEXT] = (
        clean_expressively(frame[TEXT])
        if preparation == "expressive"
        else clean_text(frame[TEXT], stop_words_per_row=stop_words_per_row)
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    drop_short_texts(frame).to_csv(target, index=False)


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("preparation", choices=["plain", "expressive"])
    arguments.add_argument("--nltk-data", type=Path, help="default: where NLTK looks by itself")
    arguments.add_argument("--stop-words-once", action="store_true", help="not once per row")
    options = arguments.parse_args()
    if options.nltk_data is not None:
        nltk.data.path.insert(0, str(options.nltk_data.resolve()))
    files, name = Files(options.work), options.preparation
    per_row = not options.stop_words_once
    clean(files.raw_train, files.clean_train(name), name, stop_words_per_row=per_row)
    clean(files.raw_test, files.clean_test(name), name, stop_words_per_row=per_row)


if __name__ == "__main__":
    main()
