"""WordNet for NLTK, as tests and tools need it: `python -m tools.wordnet` says where it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

NLTK_DATA = Path(__file__).resolve().parents[1] / ".data" / "nltk_data"

_DEBIAN_PACKAGES = ("wordnet-base", "wordnet-sense-index")
_DEBIAN_FILES = (
    *(f"{kind}.{name}" for kind in ("index", "data") for name in ("noun", "verb", "adj", "adv")),
    *(f"{name}.exc" for name in ("noun", "verb", "adj", "adv")),
    "index.sense",
    "cntlist.rev",
)
_CORPUS_FILES = (*_DEBIAN_FILES, "lexnames", "LICENSE")

# The table of lexnames(5WN): the position is the file number.
_LEXNAMES = """
    adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body
    noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location
    noun.motive noun.object noun.person noun.phenomenon noun.plant noun.possession noun.process
    noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body
    verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact
    verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social
    verb.stative verb.weather adj.ppl
"""
_CATEGORY_NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


class WordNetMissingError(RuntimeError):
    """WordNet is not here and no way to get it worked; the message says what was tried."""


def ensure_wordnet(target: Path | None = None) -> Path:
    """Make NLTK's WordNet 3.0 corpus available and return the `nltk_data` folder that holds it.

    Instant when the corpus is there already. Otherwise it is taken from Debian's packages
    (installed, or downloaded without root) or from `nltk.download`, whichever works first.
    Several processes may call this at once; none ever sees half a corpus.

    Parameters
    ----------
    target
        The `nltk_data` folder; `.data/nltk_data` in this repository when left out.

    Raises
    ------
    WordNetMissingError
        When every way failed, with the reason of each and what to do.
    """
    nltk_data = target or NLTK_DATA
    corpus = nltk_data / "corpora" / "wordnet"
    if not _is_complete(corpus):
        _make_private(nltk_data)
        _make_private(corpus.parent)
        with tempfile.TemporaryDirectory(prefix=".wordnet-", dir=corpus.parent) as scratch:
            folder = _build_corpus(Path(scratch), corpus)
            _move_into_place(folder, corpus, Path(scratch) / "incomplete")
    return nltk_data


def nltk_lemmatize(nltk_data: Path) -> Callable[[str, str], str]:
    """Return `WordNetLemmatizer().lemmatize` of NLTK, reading WordNet from `nltk_data`.

    The first call of the returned function loads the corpus: about 3 seconds, 400 MB.
    """
    import nltk  # takes seconds, and `ensure_wordnet` seldom needs it

    nltk.data.path.insert(0, str(nltk_data))
    lemmatize: Callable[[str, str], str] = nltk.stem.WordNetLemmatizer().lemmatize
    return lemmatize


def _is_complete(corpus: Path) -> bool:
    return all((corpus / name).is_file() for name in _CORPUS_FILES)


def _make_private(folder: Path) -> None:
    # NLTK refuses folders that the group may write to, which many a umask allows.
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o755, exist_ok=True)


def _build_corpus(scratch: Path, corpus: Path) -> Path:
    """Fill a folder in `scratch` in the first way that works, and return that folder."""
    failures = []
    for number, (name, fill) in enumerate(_WAYS):
        folder = scratch / str(number)
        folder.mkdir(mode=0o755)
        try:
            fill(folder)
        except (OSError, ValueError, ImportError, subprocess.SubprocessError) as error:
            failures.append(f"  - {name}: {error}")
            continue
        return folder
    raise WordNetMissingError(
        "WordNet is missing. Tried:\n"
        + "\n".join(failures)
        + f"\nInstall it with `apt-get install {' '.join(_DEBIAN_PACKAGES)}` (after `apt-get "
        "update`),\nor unpack the `wordnet.zip` of another machine's nltk_data/corpora as "
        f"{corpus}"
    )


def _move_into_place(folder: Path, corpus: Path, attic: Path) -> None:
    if corpus.is_dir() and not _is_complete(corpus):
        corpus.rename(attic)
    try:
        folder.rename(corpus)
    except OSError:
        # Another process was faster, and its corpus is as good as this one.
        if not _is_complete(corpus):
            raise


def _fill_from_installed_packages(folder: Path) -> None:
    _fill_from_debian(Path("/"), folder)


def _fill_from_downloaded_packages(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        downloads = Path(name)
        try:
            _run("apt-get", "download", *_DEBIAN_PACKAGES, cwd=downloads)
        except OSError:
            # A fresh machine has no package lists; these are private and need no root either.
            lists, archives = downloads / "lists", downloads / "archives"
            own = [f"-oDir::State::Lists={lists}", f"-oDir::Cache={archives}"]
            (lists / "partial").mkdir(parents=True)
            (archives / "archives" / "partial").mkdir(parents=True)
            _run("apt-get", *own, "update", cwd=downloads)
            _run("apt-get", *own, "download", *_DEBIAN_PACKAGES, cwd=downloads)
        root = downloads / "root"
        for package in sorted(downloads.glob("*.deb")):
            _run("dpkg-deb", "-x", str(package), str(root), cwd=downloads)
        _fill_from_debian(root, folder)


def _fill_from_nltk(folder: Path) -> None:
    import nltk  # takes seconds, and Debian's files make it unnecessary

    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        nltk.download("wordnet", download_dir=name, quiet=True, raise_on_error=True, extract=True)
        for file in _CORPUS_FILES:
            shutil.copy(Path(name) / "corpora" / "wordnet" / file, folder)


def _fill_from_debian(root: Path, folder: Path) -> None:
    for name in _DEBIAN_FILES:
        shutil.copy(root / "usr/share/wordnet" / name, folder)
    copyright_file = root / "usr/share/doc/wordnet-base/copyright"
    _write(folder / "LICENSE", _licence(copyright_file.read_text(encoding="utf-8")))
    _write(folder / "lexnames", _lexnames())


def _licence(debian_copyright: str) -> str:
    """Return WordNet's licence, undoing the indentation of Debian's copyright format."""
    _, found, rest = debian_copyright.partition("\nLicense: WordNet3.0\n")
    if not found:
        raise ValueError("the copyright file of wordnet-base has no WordNet licence")
    paragraph, _, _ = rest.partition("\n\n")
    return "\n".join(line[1:].removeprefix(".") for line in paragraph.splitlines()) + "\n"


def _lexnames() -> str:
    return "".join(
        f"{number:02}\t{name}\t{_CATEGORY_NUMBERS[name.split('.')[0]]}\n"
        for number, name in enumerate(_LEXNAMES.split())
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
    path.chmod(0o644)


def _run(program: str, *arguments: str, cwd: Path) -> None:
    executable = shutil.which(program)
    if executable is None:
        raise FileNotFoundError(f"{program} is not installed")
    done = subprocess.run(
        [executable, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise OSError(f"{program} failed: {' '.join(done.stderr.split())}")


_WAYS: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("Debian's files on this machine", _fill_from_installed_packages),
    ("apt-get download", _fill_from_downloaded_packages),
    ("nltk.download", _fill_from_nltk),
)


def main() -> None:
    """Print the folder of the WordNet corpus, after fetching it when it is missing."""
    try:
        print(ensure_wordnet() / "corpora" / "wordnet")
    except WordNetMissingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
