"""A problem file says what is meant, or says exactly what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.config.sections.preparation import Preparation
from perennial.errors import ProblemError
from tests.perennial.conftest import PROBLEMS

REVIEWS = """\
# Is a film review positive?
source:
  database: perennial
  collection: reviews
labels:
  negative: 0
  positive: 1
preparations:
  plain: {stop_words: drop}
candidates:
  bayes:
    preparation: plain
    features: {weighting: counts}
    estimator: multinomial_naive_bayes
    parameters: {alpha: 0.5}
gates:
  floors: {accuracy: 0.5}
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a problem file and returns its path."""

    def write_problem(content: str) -> Path:
        path = tmp_path / "reviews.yaml"
        path.write_text(content, encoding="utf-8")
        return path

    return write_problem


def replaced(old: str, new: str) -> str:
    assert REVIEWS.count(old) == 1
    return REVIEWS.replace(old, new)


def complaint_about(path: Path) -> str:
    with pytest.raises(ProblemError) as error:
        load_problem(path)
    return str(error.value)


def test_the_committed_problem_about_sentiment_loads() -> None:
    problem = load_problem(PROBLEMS / "sentiment.yaml")

    assert problem.name == "sentiment"
    assert problem.classes == ("negative", "positive")
    assert problem.source.late_window == timedelta(hours=1)
    assert problem.preparations["plain"] == Preparation()
    assert problem.preparations["expressive"] == Preparation(
        stop_words="keep", lemmas="none", numbers=False, contractions="keep", emphasis=True
    )
    assert len(problem.candidates) >= 2


@pytest.mark.parametrize("path", sorted(PROBLEMS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_committed_problem_loads_under_the_name_of_its_file(path: Path) -> None:
    assert load_problem(path).name == path.stem


def test_a_retraining_can_be_written_down_and_read_again() -> None:
    problem = load_problem(PROBLEMS / "sentiment.yaml")
    retrained = problem.for_retraining()

    again = Problem.model_validate_json(retrained.model_dump_json())

    assert list(again.candidates) == [problem.baseline]
    assert again == retrained
    assert again.digest == problem.digest


def test_what_a_file_leaves_out_has_its_default(write: Write) -> None:
    problem = load_problem(write(REVIEWS))

    assert problem.name == "reviews"
    assert (problem.holdout, problem.validation.share, problem.metric) == (0.2, 0.1, "accuracy")
    assert problem.source.query == {}
    assert problem.source.fields.created_at == "created_at"
    assert (problem.limits.min_words, problem.limits.max_characters) == (3, 100_000)
    assert problem.gates.confidence == 0.95
    assert problem.candidates["bayes"].features.max_features is None


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        pytest.param(
            "multinomial_naive_bayes",
            "oracle",
            14,
            "candidates.bayes.estimator is 'oracle'; input should be one of ",
            id="an estimator nobody knows",
        ),
        pytest.param(
            "stop_words: drop",
            "stop_words: remove",
            9,
            "preparations.plain.stop_words is 'remove'; input should be 'keep', 'drop' or "
            "'drop_except_negations'.",
            id="a step nobody knows",
        ),
        pytest.param(
            "{weighting: counts}",
            "{weighting: bm25}",
            13,
            "candidates.bayes.features.weighting is 'bm25'; input should be 'counts' or 'tfidf'.",
            id="a weighting nobody knows",
        ),
        pytest.param(
            "accuracy: 0.5",
            "acuracy: 0.5",
            17,
            "gates.floors.acuracy is 'acuracy'; input should be 'accuracy', ",
            id="a metric nobody knows",
        ),
        pytest.param(
            "preparation: plain",
            "preparation: fancy",
            12,
            "candidates.bayes.preparation is 'fancy'; allowed is one of the preparations plain.",
            id="a preparation that is not there",
        ),
        pytest.param(
            "positive: 1",
            "positive: 0",
            5,
            "labels is {'negative': 0, 'positive': 0}; allowed is a different stored value for "
            "each label.",
            id="two labels stored alike",
        ),
        pytest.param(
            "  positive: 1\n",
            "",
            5,
            "labels is {'negative': 0}; dictionary should have at least 2 items after "
            "validation, not 1.",
            id="one label only",
        ),
        pytest.param(
            "gates:",
            "holdouts: 0.2\ngates:",
            16,
            "holdouts is not a key of the schema; allowed here are name, description, examples, ",
            id="an unknown key at the top",
        ),
        pytest.param(
            "  database: perennial",
            "  database: perennial\n  databse: perennial",
            4,
            "source.databse is not a key of the schema; allowed here are database, collection, "
            "query, fields, late_window, reconcile, dataset.",
            id="an unknown key of the source",
        ),
        pytest.param(
            "  database: perennial",
            "  database: perennial\n  fields:\n    txt: body",
            5,
            "source.fields.txt is not a key of the schema; allowed here are text, label, "
            "created_at, source, updated_at.",
            id="an unknown field",
        ),
        pytest.param(
            "{stop_words: drop}",
            "{stopwords: drop}",
            9,
            "preparations.plain.stopwords is not a key of the schema; "
            "allowed here are normal_form, ",
            id="an unknown key of a preparation",
        ),
        pytest.param(
            "    preparation: plain",
            "    preparation: plain\n    learner: bayes",
            13,
            "candidates.bayes.learner is not a key of the schema; allowed here are preparation, "
            "features, estimator, parameters.",
            id="an unknown key of a candidate",
        ),
        pytest.param(
            "{weighting: counts}",
            "{weigting: counts}",
            13,
            "candidates.bayes.features.weigting is not a key of the schema; allowed here are "
            "analyzer, character_lengths, weighting, ",
            id="an unknown key of features",
        ),
        pytest.param(
            "  bayes:\n",
            "  features:\n    prepare: plain\n",
            12,
            "candidates.features.prepare is not a key of the schema; allowed here are "
            "preparation, features, estimator, parameters.",
            id="an unknown key of a candidate that is called features",
        ),
        pytest.param(
            "gates:",
            "gates:\n  floor: 1",
            17,
            "gates.floor is not a key of the schema; allowed here are floors, confidence, ",
            id="an unknown key of the gates",
        ),
        pytest.param(
            "floors: {accuracy: 0.5}",
            "slices: {margn: 0.02}",
            17,
            "gates.slices.margn is not a key of the schema; allowed here are margin, "
            "min_documents, source, fields, text_length.",
            id="an unknown key of a part that may be absent",
        ),
        pytest.param(
            "floors: {accuracy: 0.5}",
            "slices: {margin: 0.02, text_length: [500, 0]}",
            17,
            "gates.slices.text_length is [500, 0]; numbers of characters should rise.",
            id="lengths that do not rise",
        ),
        pytest.param(
            "floors: {accuracy: 0.5}",
            "promotion: sometimes",
            17,
            "gates.promotion is 'sometimes'; input should be 'auto', 'approve' or 'never'.",
            id="a way to promote that nobody knows",
        ),
        pytest.param(
            "gates:",
            "feedback: {use: both}\ngates:",
            16,
            "feedback.use is 'both'; input should be 'training', 'review' or 'holdout'.",
            id="a use of feedback that nobody knows",
        ),
        pytest.param(
            "gates:",
            "feedback: holdout\ngates:",
            16,
            "feedback is 'holdout'; write feedback: {use: holdout}.",
            id="a use of feedback without its key",
        ),
        pytest.param(
            "gates:",
            "feedback: {used: holdout}\ngates:",
            16,
            "feedback.used is not a key of the schema; allowed here are use, max_share.",
            id="an unknown key of feedback",
        ),
        pytest.param(
            "floors: {accuracy: 0.5}",
            "cases: cases/absent.yaml",
            17,
            "gates.cases is 'cases/absent.yaml'; allowed is the name of a file in ",
            id="a file of cases that is not there",
        ),
        pytest.param(
            "gates:",
            "limits: {min_word: 3}\ngates:",
            16,
            "limits.min_word is not a key of the schema; allowed here are min_words, "
            "max_characters.",
            id="an unknown key of the limits",
        ),
        pytest.param(
            "  database: perennial\n",
            "",
            2,
            "source.database is missing; it is required.",
            id="a missing key of the source",
        ),
        pytest.param(
            "    estimator: multinomial_naive_bayes\n",
            "",
            11,
            "candidates.bayes.estimator is missing; it is required.",
            id="a missing key of a candidate",
        ),
        pytest.param(
            "labels:\n  negative: 0\n  positive: 1\n",
            "",
            1,
            "labels is missing; it is required.",
            id="a missing key at the top",
        ),
        pytest.param(
            "gates:",
            "holdout: some\ngates:",
            16,
            "holdout is 'some'; input should be a valid number, ",
            id="a word for a number",
        ),
        pytest.param(
            "gates:",
            "holdout: 1.5\ngates:",
            16,
            "holdout is 1.5; input should be less than 1.",
            id="a share above one",
        ),
        pytest.param(
            "gates:",
            "seed: [1, 2]\ngates:",
            16,
            "seed is [1, 2]; input should be a valid integer.",
            id="a list for a number",
        ),
        pytest.param(
            "{stop_words: drop}",
            "{emphasis: loud}",
            9,
            "preparations.plain.emphasis is 'loud'; input should be a valid boolean, ",
            id="a word for yes or no",
        ),
        pytest.param(
            "database: perennial",
            "database: ''",
            3,
            "source.database is ''; string should have at least 1 character.",
            id="an empty name",
        ),
        pytest.param(
            "database: perennial",
            "database:",
            3,
            "source.database is None; input should be a valid string.",
            id="nothing for a name",
        ),
        pytest.param(
            "  bayes:",
            "  Naive Bayes:",
            11,
            "candidates.Naive Bayes is 'Naive Bayes'; string should match pattern ",
            id="a candidate's name with spaces",
        ),
        pytest.param(
            "negative: 0",
            "negative: {is: 0}",
            6,
            "labels.negative is {'is': 0}; a label is stored as a text, a whole number, or true ",
            id="a mapping for a stored label",
        ),
        pytest.param(
            "{alpha: 0.5}",
            "{alpha: {low: 1}}",
            15,
            "candidates.bayes.parameters.alpha is {'low': 1}; input should be a valid ",
            id="a mapping for a parameter",
        ),
        pytest.param(
            "{alpha: 0.5}",
            "{alpha: [1, 2]}",
            15,
            "candidates.bayes.parameters.alpha is [1, 2]; input should be a valid ",
            id="a list for a parameter",
        ),
        pytest.param(
            "negative: 0",
            "0: negative",
            6,
            "labels.0 is 0, and the name of a label is a text; write it in quotes.",
            id="labels the wrong way round",
        ),
        pytest.param(
            "negative: 0",
            "true: 0",
            6,
            "labels.",
            id="true for a label",
        ),
        pytest.param(
            "gates:",
            "7: seven\ngates:",
            16,
            "7 is 7; keys should be strings.",
            id="a number for a key",
        ),
        pytest.param(
            "  bayes:",
            "  twin: {preparation: plain, features: &shared {weighting: bm25}, estimator: "
            "logistic_regression}\n  bayes:",
            11,
            "candidates.twin.features.weighting is 'bm25'; input should be 'counts' or 'tfidf'.",
            id="a mistake in a part with an anchor",
        ),
        pytest.param(
            "gates:",
            "description: " + "x" * 30 + "\nname: [" + "y, " * 100 + "z]\ngates:",
            17,
            "name is ['y', 'y', ",
            id="a value too long to be shown",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_key_value_and_what_is_allowed(
    old: str, new: str, line: int, says: str, write: Write
) -> None:
    path = write(replaced(old, new))

    complaint = complaint_about(path)

    assert f"{path}, line {line}: {says}" in complaint
    assert max(map(len, complaint.replace(str(path), "").splitlines())) < 340


def test_a_mistake_that_came_by_a_merge_key_is_named_too(write: Write) -> None:
    merged = REVIEWS.replace("  bayes:\n", "  bayes:\n    <<: &base {estimator: forest}\n").replace(
        "    estimator: multinomial_naive_bayes\n", ""
    )

    complaint = complaint_about(write(merged))

    assert "candidates.bayes.estimator is 'forest'; input should be " in complaint


def test_all_mistakes_are_named_at_once(write: Write) -> None:
    path = write(replaced("stop_words: drop", "stop_words: remove") + "seed: none\nholdouts: 1\n")

    lines = complaint_about(path).splitlines()

    assert [line.split(":")[0] for line in lines] == [
        f"{path}, line 9",
        f"{path}, line 18",
        f"{path}, line 19",
    ]


@pytest.mark.parametrize(
    "name", ["Reviews", "film reviews", "1st", "r\u00e9sum\u00e9"], ids=["A", "space", "1", "e"]
)
def test_the_name_of_the_file_must_be_one_that_everything_else_can_carry(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(REVIEWS, encoding="utf-8")

    assert f"name is '{name}'; string should match pattern" in complaint_about(path)


@pytest.mark.parametrize(
    "broken",
    [
        "source: [",
        "a: 1\n\tb: 2",
        "seed: 1\nseed: 2",
        "a: 1\n---\nb: 2",
        "a: *nowhere",
        "description: bell \x07",
    ],
    ids=["unclosed", "tab", "duplicate key", "two documents", "no anchor", "control character"],
)
def test_what_is_no_yaml_is_refused_with_its_file(broken: str, write: Write) -> None:
    path = write(broken)

    assert complaint_about(path).startswith(f"{path} is not valid YAML: ")


def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "reviews.yaml"
    path.write_bytes(b"description: caf\xe9\n")

    assert complaint_about(path).startswith(f"{path} is not valid YAML: ")


@pytest.mark.parametrize(
    ("content", "shown"),
    [("", "None"), ("# nothing\n", "None"), ("- a\n- b\n", "['a', 'b']"), ("hello", "'hello'")],
)
def test_a_file_without_keys_and_values_is_refused(content: str, shown: str, write: Write) -> None:
    path = write(content)

    assert complaint_about(path) == f"{path} must be a mapping of keys to values, it is {shown}."


def test_a_missing_file_lists_the_problems_there_are(write: Write) -> None:
    folder = write(REVIEWS).parent
    (folder / "iris.yaml").touch()

    complaint = complaint_about(folder / "revews.yaml")

    assert complaint == (
        f"There is no problem 'revews' ({folder / 'revews.yaml'}); the problems are iris, reviews."
    )


def test_a_missing_file_says_when_there_is_no_problem_at_all(tmp_path: Path) -> None:
    assert complaint_about(tmp_path / "x.yaml").endswith("the problems are (none).")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("alpha: 0.5", "alpha: 0.6"),
        ("weighting: counts", "weighting: tfidf"),
        ("stop_words: drop", "stop_words: keep"),
        ("positive: 1", "positive: 2"),
        ("accuracy: 0.5", "accuracy: 0.6"),
        ("collection: reviews", "collection: films"),
        ("gates:", "seed: 7\ngates:"),
        ("gates:", "holdout: 0.3\ngates:"),
        ("gates:", "metric: f1\ngates:"),
        ("labels:\n  negative: 0\n  positive: 1\n", "labels: {positive: 1, negative: 0}\n"),
    ],
)
def test_the_digest_changes_with_what_shapes_a_retraining(old: str, new: str, write: Write) -> None:
    before = load_problem(write(REVIEWS)).digest

    after = load_problem(write(replaced(old, new))).digest

    assert after != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Is a film review positive?\n", ""),
        ("  negative: 0\n", "  negative: 0   # the bad ones\n\n"),
        ("source:", "description: Films\nsource:"),
        ("{stop_words: drop}", "\n    stop_words: 'drop'"),
        ("gates:", "seed: 42\ngates:"),
    ],
)
def test_the_digest_does_not_change_with_words_for_people(old: str, new: str, write: Write) -> None:
    before = load_problem(write(REVIEWS)).digest

    after = load_problem(write(replaced(old, new))).digest

    assert after == before


def test_a_query_may_hold_whatever_mongodb_understands(write: Write) -> None:
    query = "{stars: {$in: [1, 2.5, 0x10]}, at: {$gte: 2020-01-01T00:00:00Z}, ok: true, n: null}"
    content = replaced("  database", f"  query: {query}\n  database")

    problem = load_problem(write(content))

    assert problem.source.query["stars"] == {"$in": [1, 2.5, 16]}
    assert problem.source.query["at"]["$gte"].year == 2020
    assert problem.digest == load_problem(write(content)).digest
    assert problem.digest != load_problem(write(content.replace("2.5", "3.5"))).digest


def test_a_problem_cannot_be_changed_once_it_is_loaded(problem: Problem) -> None:
    with pytest.raises(ValidationError):
        problem.seed = 7


def test_the_last_label_of_the_file_is_the_positive_class(write: Write) -> None:
    turned = replaced("  negative: 0\n  positive: 1\n", "  positive: 1\n  negative: 0\n")

    assert load_problem(write(turned)).classes == ("positive", "negative")


def test_labels_that_look_alike_but_are_stored_differently_are_different(write: Write) -> None:
    problem = load_problem(write(replaced("  negative: 0\n", "  negative: true\n  other: '1'\n")))

    assert problem.labels == {"negative": True, "other": "1", "positive": 1}
    assert [type(stored) for stored in problem.labels.values()] == [bool, str, int]


def test_parameters_keep_the_kind_of_value_that_the_file_gives(write: Write) -> None:
    parameters = "{C: 1e-3, max_iter: 1_000, n_jobs: 2, dual: true, solver: 'saga', tol: null}"
    content = replaced("{alpha: 0.5}", parameters)
    content = content.replace("multinomial_naive_bayes", "logistic_regression")

    found = load_problem(write(content)).candidates["bayes"]

    assert found.parameters == {
        "C": 0.001,
        "max_iter": 1000,
        "n_jobs": 2,
        "dual": True,
        "solver": "saga",
        "tol": None,
    }
    kinds = [type(value) for value in found.parameters.values()]
    assert kinds == [float, int, int, bool, str, type(None)]
