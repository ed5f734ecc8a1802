"""The NLTK corpora that tutorials fetch with `nltk.download`, made from local sources instead."""

from pathlib import Path


def ensure_stopwords(folder: Path) -> Path:
    """Write NLTK's English stop words into an `nltk_data` folder and return their file."""
    from perennial.text.stop_words import STOP_WORDS

    path = folder / "corpora" / "stopwords" / "english"
    content = "".join(f"{word}\n" for word in sorted(STOP_WORDS))
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return path


def ensure_nltk_data() -> Path:
    """Return an `nltk_data` folder that holds WordNet and the English stop words."""
    from tools.wordnet import ensure_wordnet

    folder: Path = ensure_wordnet()
    ensure_stopwords(folder)
    return folder
