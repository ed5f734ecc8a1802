"""The documentation site: it builds, its links lead somewhere, and its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from typer.exceptions import TyperException

from deployments.cli import app
from perennial.commands import PROGRAM
from perennial.settings import PROJECT
from tools.site.commands import flows, make_targets, programs
from tools.site.markdown import table
from tools.site.repository import relink

PAGES = sorted((PROJECT / "docs").rglob("*.md"))
IN_A_CLONE = f".venv/bin/{PROGRAM}"
# Commands of a page that are not the project's; whoever adds one has tried it.
OTHER_PROGRAMS = {"aws", "cd", "curl", "dask", "docker", "done", "for", "kubectl", "openssl"}
OTHER_PROGRAMS |= {"eksctl", "helm", "prefect", "printf", "sed"}
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(
    r"(?<!`)`((?:make|perennial |python -m|\.venv/bin/|flows |kubectl|docker compose) ?[^`\n]+)`"
)
_VARIABLE = re.compile(r"[A-Z_]+=")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Html(HTMLParser):
    """What a page links to, what it loads, and where it can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.ids.update(found[name] for name in ("id", "name") if name in found)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in {"img", "script", "iframe", "source"} and "src" in found:
            self.loaded.append(found["src"])
        if (
            tag == "link"
            and "href" in found
            and found.get("rel") in {"stylesheet", "icon", "preload"}
        ):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    return {
        file: Html(file.read_text()) for file in site.rglob("*.html") if file.name != "404.html"
    }


def test_every_link_of_the_site_leads_to_a_page_and_a_place_that_exist(
    pages: dict[Path, Html],
) -> None:
    broken = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            fragment = unquote(parts.fragment)
            if not target.is_file() or (
                fragment and target in pages and fragment not in pages[target].ids
            ):
                broken.append((file.name, link))

    assert len(pages) > 30
    assert not broken


def test_the_site_loads_nothing_from_other_servers(site: Path, pages: dict[Path, Html]) -> None:
    loaded = [address for page in pages.values() for address in page.loaded]
    styles = "".join(file.read_text() for file in site.rglob("*.css"))

    assert loaded
    assert not [address for address in loaded if urlsplit(address).netloc]
    assert not re.findall(r"url\(['\"]?(?:https?:)?//", styles)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("reference/commands", "--text-column"),
        ("reference/commands", "python -m deployments.exporter"),
        ("reference/problem-file", "late_window"),
        ("reference/problem-file", "candidates.NAME (TabularCandidate)"),
        ("reference/settings", "SERVING_LOG_PER_SECOND"),
        ("reference/settings", "EXPORTER_PORT"),
        ("reference/metrics", "app_request_latency_seconds"),
        ("reference/metrics", "perennial_source_up"),
        ("reference/http-api", "POST /classify"),
        ("reference/python/perennial.promotion", "perennial.promotion.verdict"),
        ("contributing", "Working on Perennial"),
        ("changelog", "Unreleased"),
    ],
)
def test_the_reference_has_what_the_code_has(site: Path, page: str, said: str) -> None:
    text = re.sub(r"<[^>]+>", "", (site / f"{page}.html").read_text())

    assert said in text


def _commands(page: Path) -> Iterator[list[str]]:
    """Every command of a page, in words: of its shell blocks, and those within a line."""
    text = page.read_text()
    lines = [line for _, block in _BLOCK.findall(text) for line in _joined(block)]
    for line in [*lines, *_INLINE.findall(text)]:
        words = shlex.split(line, comments=True)
        while words and (_VARIABLE.match(words[0]) or words[0] == "export"):
            words.pop(0)
        if words:
            yield words


def _joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


EVERY_COMMAND = [(page, words) for page in PAGES for words in _commands(page)]


@pytest.mark.parametrize(
    ("page", "words"),
    EVERY_COMMAND,
    ids=[f"{page.stem}: {' '.join(words)[:60]}" for page, words in EVERY_COMMAND],
)
def test_a_command_of_the_documentation_can_be_typed(page: Path, words: list[str]) -> None:
    first, *others = words
    first = PROGRAM if first == IN_A_CLONE else first
    if first == "make":
        _check_make(others)
    elif first == "flows" or (first == PROGRAM and others[0] in flows()):
        _check_flow(others)
    elif first == PROGRAM:
        assert others[0] in typer.main.get_command(app).commands
    elif first in {"python", ".venv/bin/python"} and others[0] == "-m":
        _check_module(others[1], others[2:])
    elif first.startswith(".venv/bin/"):
        assert (PROJECT / first).exists()
    else:
        assert first in OTHER_PROGRAMS, f"{page.name}: what is {first}?"


def _check_make(words: list[str]) -> None:
    targets = [word for word in words if not _VARIABLE.match(word) and not word.startswith("-")]

    assert targets
    assert set(targets) <= make_targets().keys()


def _check_module(module: str, arguments: list[str]) -> None:
    package, _, rest = module.partition(".")
    if package == "flows":
        _check_flow([rest, *arguments] if rest else arguments)
    elif package not in {"dask", "mkdocs", "pip"}:
        assert module in programs()


def _check_flow(words: list[str]) -> None:
    from tasks.orchestration.cli import application

    name, *arguments = words
    command = typer.main.get_command(application(flows()[name]))
    # A flow that is only mentioned lacks what it requires.
    if arguments:
        command.make_context(name, arguments)


def test_commands_are_found_in_pages() -> None:
    said = {(page.stem, " ".join(words)) for page, words in EVERY_COMMAND}

    assert ("first-ten-minutes", "make run") in said
    assert ("operations", "python -m deployments.apply") in said
    assert ("runbooks", "make undo OVERLAY=production") in said
    assert any(command.startswith("perennial seed tickets") for _, command in said)


@pytest.mark.parametrize(
    "words",
    [
        ["make", "runn"],
        ["python", "-m", "deployments.exporters"],
        ["perennial", "retrain", "--rescann"],
        [".venv/bin/perennial", "score", "a", "b"],
        ["dockr", "compose", "up"],
    ],
    ids=" ".join,
)
def test_a_command_that_does_not_exist_is_found(words: list[str]) -> None:
    with pytest.raises((AssertionError, TyperException)):
        test_a_command_of_the_documentation_can_be_typed(Path("page.md"), words)


def test_the_problem_of_the_tutorial_can_be_loaded(tmp_path: Path) -> None:
    from perennial.config.loader import load_problem

    page = (PROJECT / "docs" / "tutorial" / "your-own-problem.md").read_text()
    first, costs = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "tickets.yaml"

    file.write_text(first)
    assert load_problem(file).metric == "f1"
    file.write_text(first.replace("metric: f1\n", costs))
    assert load_problem(file).metric == "cost"


def test_a_page_of_the_repository_links_to_pages_of_the_site() -> None:
    text = "[a](docs/gates.md#slices) [b](serving/README.md) [c](Dockerfile) [d](https://e.org/f)"

    assert relink(text, "CONTRIBUTING.md", "contributing.md") == (
        "[a](gates.md#slices) [b](service.md) c [d](https://e.org/f)"
    )
    assert relink("[a](../docs/gates.md)", "serving/README.md", "how-to/x.md") == "[a](../gates.md)"


def test_a_cell_of_a_table_holds_any_text() -> None:
    assert table(("a", "b"), [("x | y", "one\ntwo")]).splitlines()[2] == "| x \\| y | one two |"
