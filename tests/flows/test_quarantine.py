"""The quarantine is a waiting room: people see who waits, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.migrate import migrate
from flows.quarantine import quarantine
from flows.retrain import retrain
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.fields import FieldSpec
from perennial.errors import OutsideError
from perennial.inputs.identity import CURRENT_IDENTITY, FIRST_IDENTITY
from perennial.reasons import Reason, ReasonCode
from perennial.settings import Settings
from perennial.status.facts import read_facts
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.ingest import bring_up_to_date, ingest
from tasks.data.quarantine import remedy
from tests.conftest import HOUR, SMALL_PROBLEM

pytestmark = pytest.mark.usefixtures("prefect_api", "machine")

UNKNOWN, SHORT = (
    Reason(ReasonCode.UNKNOWN_LABEL, "label"),
    Reason(ReasonCode.TOO_SHORT, "text"),
)


@pytest.fixture
def held(
    problem: Problem, collection: Any, documents: Callable[..., Any], run_task: Callable[..., Any]
) -> list[dict[str, Any]]:
    """Ten documents that can be used; three with an unknown label and one that is too short."""
    made = documents(14)
    for document in made[10:13]:
        document["label"] = 7
    made[13]["text"] = "Too short"
    collection.insert_many(made)
    run_task(ingest, problem)
    return list(made[10:])


def test_each_reason_is_listed_with_its_count_an_example_and_what_to_do(
    held: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    unknown, short = quarantine("reviews")

    assert (unknown.reason, unknown.count) == (UNKNOWN, 3)
    assert (short.reason, short.count) == (SHORT, 1)
    assert unknown.examples == ["label is not one of 0, 1: 7"]
    assert "labels in problems/reviews.yaml, line " in unknown.remedy
    assert "limits.min_words in problems/reviews.yaml, line " in short.remedy
    said = capsys.readouterr().out
    assert "label is not one of" in said


def test_the_documents_of_a_reason_are_shown(
    held: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    quarantine("reviews", show=UNKNOWN.key)

    said = capsys.readouterr().out
    for document in held[:3]:
        assert document["_id"] in said
    assert held[3]["_id"] not in said
    with pytest.raises(OutsideError, match=r"reasons are: \"label is none of .*\", \"text is too"):
        quarantine("reviews", show="odd")


def test_a_reason_can_be_named_as_the_list_names_it(
    held: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    quarantine("reviews", show=str(SHORT))

    said = capsys.readouterr().out
    assert held[3]["_id"] in said
    assert held[0]["_id"] not in said


def test_an_empty_field_of_a_record_is_not_a_matter_of_the_limits_of_texts(
    problem: Problem,
) -> None:
    records = problem.model_copy(update={"inputs": {"colour": FieldSpec(kind="category")}})

    assert "add inputs.colour to problems/reviews.yaml" in remedy(
        records, Reason(ReasonCode.EMPTY, "colour")
    )


def test_what_was_mended_leaves_at_once_when_it_is_tried_again(
    held: list[dict[str, Any]], collection: Any, write_problem: Callable[..., Problem]
) -> None:
    collection.update_many({"label": 7}, {"$set": {"label": 1}})

    assert [each.count for each in quarantine("reviews")] == [3, 1]
    write_problem(limits={"min_words": 1})
    # The file of now judges what was read; that documents were corrected has to be read.
    assert [each.count for each in quarantine("reviews")] == [3]
    assert quarantine("reviews", retry=True) == ()
    assert quarantine("reviews") == ()


@pytest.mark.parametrize("limits", [{"min_words": 2}, {"min_words": 20}])
def test_a_file_that_was_changed_is_judged_by_before_a_retraining(
    limits: dict[str, int], held: list[dict[str, Any]], write_problem: Callable[..., Problem]
) -> None:
    write_problem(limits=limits, labels={"negative": 0, "positive": 7})
    listed = {each.reason: each.count for each in quarantine("reviews")}

    assert quarantine("reviews", retry=True)
    assert {each.reason: each.count for each in quarantine("reviews")} == listed


def test_a_file_that_reads_documents_in_another_way_says_what_to_run(
    held: list[dict[str, Any]],
    write_problem: Callable[..., Problem],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_problem(source={"fields": {"text": "label"}})

    assert [each.count for each in quarantine("reviews")] == [3, 1]
    assert "`perennial quarantine reviews --retry`" in caplog.text


def test_a_retraining_for_which_hardly_anything_is_left_says_where_the_rest_is(
    collection: Any, documents: Callable[..., Any], problem: Problem
) -> None:
    made = documents(12)
    for document in made[1:]:
        document["text"] = "Short"
    collection.insert_many(made)

    with pytest.raises(OutsideError, match="In quarantine are 11 of 12 documents; `perennial qua"):
        retrain("reviews")


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (UNKNOWN, r"check labels in problems/bare\.yaml, line \d+\."),
        (SHORT, r"add limits\.min_words to problems/bare\.yaml\."),
        (
            Reason(ReasonCode.MISSING, "label"),
            r"add source\.fields\.label to problems/bare\.yaml, below source in line \d+\.",
        ),
    ],
)
def test_what_to_do_names_the_line_only_where_the_key_is_there(
    reason: Reason, advice: str, problem: Problem, machine: Settings
) -> None:
    content = {name: value for name, value in SMALL_PROBLEM.items() if name != "limits"}
    with (machine.problems_dir / "bare.yaml").open("w") as file:
        YAML(typ="safe").dump(content | {"source": {"database": "d", "collection": "c"}}, file)
    bare = load_problem(machine.problems_dir / "bare.yaml")

    assert re.search(advice, remedy(bare, reason))


def test_without_a_snapshot_it_says_what_to_run(problem: Problem) -> None:
    with pytest.raises(OutsideError, match="run `perennial retrain reviews` first"):
        quarantine("reviews")


def test_a_problem_of_an_earlier_release_is_migrated_when_somebody_asks(
    problem: Problem,
    collection: Any,
    documents: Callable[..., Any],
    machine: Settings,
    run_task: Callable[..., Any],
) -> None:
    made = documents(60)
    later = made[-1]["created_at"] + HOUR
    # By the first identity marks are no part of a text.
    made[0]["text"], marked_text = f"C++ {made[0]['text']}", f"C# {made[0]['text']}"
    marked = {"_id": "marked", "text": marked_text, "created_at": later}
    collection.insert_many([*made, made[0] | marked])
    store = SnapshotStore(problem.name, machine)

    def begin(problem: Problem) -> Any:
        return bring_up_to_date(problem, store, identity=FIRST_IDENTITY)

    before = run_task(_as_task(begin), problem)
    assert before.accounts.duplicates == 1

    moved = migrate("reviews")

    assert moved is not None
    assert moved.snapshot.draft is not None
    assert moved.snapshot.draft.identity == CURRENT_IDENTITY
    assert (moved.released, moved.duplicates) == (1, 0)
    assert moved.into_holdout + moved.into_training > 0
    assert len(store.read(before.snapshot)) == 60
    assert run_task(ingest, problem).snapshot == moved.snapshot
    assert migrate("reviews") is None


def _as_task(function: Callable[..., Any]) -> Any:
    from prefect import task

    return task(function)


def test_what_is_dropped_is_left_out_until_it_changes(
    held: list[dict[str, Any]], collection: Any, run_task: Callable[..., Any], problem: Problem
) -> None:
    left = quarantine("reviews", drop=UNKNOWN.key, why="spam of a crawler", by="on call")

    assert [each.reason for each in left] == [SHORT]
    again = run_task(ingest, problem, rescan=True)
    assert (again.accounts.live, again.accounts.changed, again.dropped) == (11, 0, 3)
    assert collection.count_documents({}) == 14
    collection.update_one({"_id": held[0]["_id"]}, {"$set": {"label": 1}})

    mended = run_task(ingest, problem)

    assert (mended.accounts.new, mended.accounts.used) == (1, 11)
    assert [each.reason for each in quarantine("reviews")] == [SHORT]


def test_what_was_dropped_can_be_taken_back(held: list[dict[str, Any]]) -> None:
    before = {each.reason: each.count for each in quarantine("reviews")}
    quarantine("reviews", drop=str(UNKNOWN), why="spam")
    quarantine("reviews", drop=str(SHORT), why="greetings")
    assert quarantine("reviews") == ()

    back = quarantine("reviews", take_back=True)

    assert {each.reason: each.count for each in back} == before


def test_what_is_dropped_of_one_problem_stays_with_another_of_the_same_collection(
    held: list[dict[str, Any]], machine: Settings, run_task: Callable[..., Any]
) -> None:
    text = (machine.problems_dir / "reviews.yaml").read_text()
    (machine.problems_dir / "others.yaml").write_text(text)
    quarantine("reviews", drop=UNKNOWN.key, why="spam")

    assert [each.reason for each in quarantine("reviews")] == [SHORT]
    with pytest.raises(OutsideError, match="run `perennial retrain others` first"):
        quarantine("others")
    ingested = run_task(ingest, load_problem(machine.problems_dir / "others.yaml"))
    assert sum(ingested.accounts.in_quarantine.values()) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"drop": UNKNOWN.key}, "--why is missing"),
        ({"drop": UNKNOWN.key, "why": " \n"}, "--why is missing"),
        ({"drop": "odd", "why": "spam"}, "No document is in quarantine for 'odd'"),
        ({"drop": UNKNOWN.key, "why": "spam", "take_back": True}, "contradict each other"),
    ],
)
def test_what_cannot_be_dropped_is_refused_and_nothing_changes(
    options: dict[str, Any], said: str, held: list[dict[str, Any]]
) -> None:
    with pytest.raises(OutsideError, match=said):
        quarantine("reviews", **options)

    assert [each.count for each in quarantine("reviews")] == [3, 1]


def test_figures_know_at_once_what_was_dropped_and_of_nothing_before_a_retraining(
    problem: Problem,
    collection: Any,
    documents: Callable[..., Any],
    machine: Settings,
    held: list[dict[str, Any]],
) -> None:
    def known() -> tuple[tuple[int, int], int, tuple[tuple[Reason, int], ...]]:
        (facts,) = read_facts(machine, datetime.now(UTC))
        return facts.quarantined, facts.dropped, facts.held

    quarantine("reviews", retry=True)
    assert known() == ((0, 0), 0, ())
    collection.insert_many(documents(300, first=100))
    retrain("reviews")
    assert known() == ((4, 314), 0, ((UNKNOWN, 3), (SHORT, 1)))

    quarantine("reviews", drop=UNKNOWN.key, why="spam")
    assert known() == ((1, 311), 3, ((SHORT, 1),))

    quarantine("reviews", drop=SHORT.key, why="greetings")
    assert known() == ((0, 310), 4, ())
