"""The commands `perennial init` and `perennial check NAME`: from a file to a problem's file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from deployments.init import main
from perennial.config.loader import load_problem
from perennial.settings import get_settings

ROWS = [
    (
        f"the shop number {n} is {('down and nobody can pay', 'fine, thank you very much')[n % 2]}",
        ("urgent", "normal")[n % 2],
    )
    for n in range(120)
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's project: no problems, no data, no servers."""
    monkeypatch.setenv("PROBLEMS_DIR", str(tmp_path / "problems"))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("MONGODB_URI", raising=False)
    get_settings.cache_clear()
    return tmp_path


@pytest.fixture
def tickets(project: Path) -> Path:
    file = project / "tickets.csv"
    file.write_text("body,priority\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "160", "TERM": "dumb"})


def test_a_file_becomes_a_problem_that_says_what_was_found(tickets: Path, project: Path) -> None:
    result = run("init", "tickets", "--file", tickets, "--yes")

    assert result.exit_code == 0, result.output
    problem = load_problem(project / "problems" / "tickets.yaml")
    assert dict(problem.labels) == {"normal": "normal", "urgent": "urgent"}
    assert problem.source.fields.text == "body"
    assert problem.source.fields.label == "priority"
    said = " ".join(result.output.split())
    assert "tickets: 120 rows" in said
    assert "normal (60), urgent (60)" in said
    assert "texts in Latin" in said
    assert problem.split.near_copies == "ignore"
    assert f"perennial seed tickets --file {tickets}" in said
    assert "perennial retrain tickets" in said


def test_a_problem_that_is_there_is_left_as_it_is(tickets: Path, project: Path) -> None:
    file = project / "problems" / "tickets.yaml"
    file.parent.mkdir()
    file.write_text("# mine\n")

    result = run("init", "tickets", "--file", tickets, "--yes")

    assert result.exit_code == 1
    assert "exists already and is left as it is" in str(result.exception)
    assert file.read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x,label\n" + "".join(f"{n},{n * 1.5}\n" for n in range(800)), "a regression"),
        ("x,label\n" + "".join(f"{n % 7},\n" for n in range(80)), "'label' is empty"),
        ("x,label\n" + "".join(f"{n % 7},a\n" for n in range(80)), "has one value only"),
        ("x,label\n" + "".join(f"{n % 7},a;b\n{n % 5},a\n" for n in range(80)), "several labels"),
        ("x,label\n", "There are no rows"),
    ],
)
def test_what_no_classifier_can_learn_is_said_and_nothing_is_written(
    content: str, said: str, project: Path
) -> None:
    (project / "rows.csv").write_text(content)

    result = run("init", "rows", "--file", project / "rows.csv", "--yes")

    assert result.exit_code == 1
    assert said in str(result.exception)
    assert not (project / "problems").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["init", "Tickets", "--file", "t.csv"], "cannot be the name of a problem"),
        (["init", "tickets"], "either --file or --collection"),
        (["init", "tickets", "--file", "t.csv", "--collection", "a.b"], "either --file or --coll"),
        (["init", "tickets", "--collection", "shop"], "write DATABASE.COLLECTION"),
        (["init", "tickets", "--file", "gone.csv"], "gone.csv cannot be read"),
        (["check", "--file", "t.csv"], "--file is for one problem"),
    ],
)
def test_what_cannot_be_meant_is_said(arguments: list[str], said: str, project: Path) -> None:
    (project / "problems").mkdir()
    (project / "problems" / "a.yaml").write_text(
        (Path(__file__).parents[2] / "problems" / "iris.yaml").read_text()
    )

    result = run(*arguments)

    assert result.exit_code == 1
    assert said in str(result.exception)


def test_a_person_chooses_the_label_that_cannot_be_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "rows.csv"
    file.write_text(
        "x,shape,colour,size\n"
        + "".join(
            f"{n / 7:.3f},{'ab'[n % 2]},{'rg'[n % 3 // 2]},{'sl'[n % 5 // 3]}\n" for n in range(90)
        )
    )
    answers = iter(["weight", "colour"])
    asked: list[str] = []

    def answer(question: str, _: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("typer.prompt", answer)
    main("rows", file=file, collection=None, label=None, text=None, encoding=None, asks=True)

    problem = load_problem(project / "problems" / "rows.yaml")
    assert problem.source.fields.label == "colour"
    assert len(asked) == 2
    assert "size, " in asked[0] or "(size" in asked[0]


def test_check_judges_a_file_by_the_problem_and_writes_nothing(
    tickets: Path, project: Path
) -> None:
    run("init", "tickets", "--file", tickets, "--yes")
    further = project / "more.csv.gz"
    lines = ["body,priority", *(f'"{text}",{label}' for text, label in ROWS)]
    lines += ["what is this thing,odd", '"a,b",c,d', f'"{ROWS[0][0]}",urgent']
    further.write_bytes(gzip.compress("\n".join(lines).encode()))
    before = sorted(path.name for path in project.rglob("*"))

    result = run("check", "tickets", "--file", further)

    said = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert "tickets.yaml: no mistakes." in said
    assert "what would become of 123 documents" in said
    assert "used │ 120" in said
    assert "quarantine: priority is none of the problem's labels │ 1" in said
    assert "quarantine: body is missing │ 1" in said
    assert "duplicates of others │ 1" in said
    assert "A retraining takes about" in said
    assert sorted(path.name for path in project.rglob("*")) == before


def test_check_says_when_no_model_could_be_made(tickets: Path, project: Path) -> None:
    run("init", "tickets", "--file", tickets, "--yes")
    other = project / "other.csv"
    other.write_text(
        "body,priority\n" + "".join(f"the shop is down today {n},1\n" for n in range(9))
    )

    result = run("check", "tickets", "--file", other)

    assert result.exit_code == 1
    assert "No document can be used" in " ".join(result.output.split())


def test_check_of_files_alone_starts_no_server(tickets: Path, project: Path) -> None:
    run("init", "tickets", "--file", tickets, "--yes")

    result = run("check", "tickets")

    assert result.output.strip().endswith("tickets.yaml: no mistakes.")
    assert not (project / "data").exists()
