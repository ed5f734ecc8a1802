"""A compiled predictor answers as its pipeline does, and says which words made the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import log
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB, MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from perennial.concurrency import finish
from perennial.config.loader import load_problem
from perennial.inference import compiled_linear as compiled
from perennial.inference.base import PipelinePredictor
from perennial.inference.compiled_text import CompiledTextPredictor
from perennial.inference.compiling import compile_text_predictor
from perennial.inference.predictor import build_predictor
from perennial.registry.artifact import TOLERANCE
from perennial.text.ngrams import NgramCounter
from perennial.text.normal_form import normal_form
from perennial.text.normalizer import MEMO_WORD_LENGTH, TextNormalizer
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from tests.perennial.conftest import EVERY, PROBLEMS
from tests.searches import tried

TRAINING = 3_000
CANDIDATES = [
    "bow-logistic",
    "bow-bayes",
    "tfidf-logistic",
    "tfidf-bayes",
    "bigrams-logistic",
]
# With three classes instead of two, what these candidates do.
THREE_CLASSES = {
    "three-logistic": "tfidf-logistic",
    "three-bayes": "bow-bayes",
    "three-bigrams": "bigrams-logistic",
}
ALL = [*CANDIDATES, *THREE_CLASSES]

ODDITIES = [
    "",
    " ",
    "\x00",
    "a\x00good\x00film",
    "\ud800",
    "good \udc80film\ud83d\ude00 bad \ud83d",
    "\ufeffgood film",
    "GOOD FİLM, ﬁne Straße ΟΔΟΣ! K",
    "It\u2019s not bad\u2014it isn't!? can't 'tis won't've",
    "great<br /><br />film <b>not</b> <a <br /> b> www.bad.com http://x.y/good?bad good",
    "10/10 2nd 3½ stars x² ٣",
    "not good not good not good film film",
    "caf\u0065\u0301 na\u00efve e\u0301\u0301",
    "good\x85film\xa0bad\u2028not\x1cgood",
]
# Words that models know, pieces that the normaliser treats in its own way, and anything else.
texts = st.one_of(
    st.text(st.characters(), max_size=60),
    st.lists(
        st.one_of(
            st.sampled_from(["good", "bad", "not", "film", "the", "Great", "isn't", "10/10"]),
            st.sampled_from(
                ["!", "?!", "<br />", "<b>", "www.", "http://", "'", "\u2019", "\u2014"]
            ),
            st.sampled_from(["&nbsp;", "&#39;", "&amp;", "`", "\u00ad", "\u0301", "\x92", "\0"]),
            st.sampled_from([" ", "  ", "\n", "\ud83d", "\ude00", "İ", "Σ", ".", "ﬁlm"]),
            st.text(st.characters(), max_size=3),
        ),
        max_size=30,
    ).map("".join),
    st.lists(st.sampled_from(["good", "bad", "not", "film", "plot", "was"]), max_size=40).map(
        " ".join
    ),
)
_CHECKS = [HealthCheck.function_scoped_fixture]
checked = tried(suppress_health_check=_CHECKS)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """All 25,000 reviews of films."""
    from tasks.data.seed import read_file, reviews_file

    return read_file(reviews_file(), text="text", label="label", source="imdb")


@pytest.fixture(scope="module")
def model(table: pa.Table) -> Callable[[str], Pipeline]:
    """Return a function that fits a model by its name on some of the reviews, once."""
    problem = load_problem(PROBLEMS / "sentiment.yaml")
    rows = np.linspace(0, len(table) - 1, TRAINING).astype(np.int64)
    training = table["text"].combine_chunks().take(pa.array(rows))
    positive = table["label"].to_numpy()[rows].astype(np.int64)
    two = np.array(["negative", "positive"], object)[positive]
    # The third class is what is long, whichever it was.
    three = np.where([len(text) > 1_500 for text in training.to_pylist()], "long", two)
    fitted: dict[str, Pipeline] = {}

    def fit(name: str) -> Pipeline:
        if name not in fitted:
            base = problem.candidates[THREE_CLASSES.get(name, name)]
            classifier = build_classifier(problem, THREE_CLASSES.get(name, name))
            if name in THREE_CLASSES and base.estimator == "logistic_regression":
                # Their solver knows two classes only.
                coarse = LogisticRegression(max_iter=50, tol=0.1)
                classifier = Pipeline([*classifier.steps[:-1], ("classify", coarse)])
            pipeline = assemble(
                build_normalizer(problem, base), build_counter(base.features), classifier
            )
            fitted[name] = pipeline.fit(training, three if name in THREE_CLASSES else two)
        return fitted[name]

    return fit


@pytest.fixture(scope="module")
def predictor(model: Callable[[str], Pipeline]) -> Callable[[str], CompiledTextPredictor]:
    """Return a function that compiles a model, once."""
    compiled: dict[str, CompiledTextPredictor] = {}

    def compile_(name: str) -> CompiledTextPredictor:
        if name not in compiled:
            found = compile_text_predictor(model(name))
            assert found is not None
            compiled[name] = found
        return compiled[name]

    return compile_


def assert_equal(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, rtol=0, atol=TOLERANCE)


def decisions(model: Pipeline, text: str, label: str) -> float:
    """Return the pipeline's log-odds of a label against the next one."""
    matrix = model[:-1].transform([text])
    classifier = model[-1]
    if isinstance(classifier, MultinomialNB):
        scores = classifier.predict_joint_log_proba(matrix)[0]
    else:
        scores = np.atleast_1d(classifier.decision_function(matrix)[0])
        if len(scores) == 1:
            scores = np.array([0.0, scores[0]])
    position = list(model.classes_).index(label)
    return float(scores[position] - np.delete(scores, position).max())


@pytest.mark.slow
@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(
    "name", ["bow-logistic", "bow-bayes", "tfidf-logistic", "bigrams-logistic", "three-logistic"]
)
def test_every_review_gets_the_probabilities_of_the_pipeline(
    name: str,
    every: int,
    table: pa.Table,
    model: Callable[[str], Pipeline],
    predictor: Callable[[str], CompiledTextPredictor],
) -> None:
    texts = table["text"].take(pa.array(range(0, len(table), every)))

    ours = predictor(name).probabilities(texts.to_pylist())

    assert predictor(name).classes == tuple(model(name).classes_)
    assert_equal(ours, model(name).predict_proba(texts))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_odd_texts_get_the_probabilities_of_the_pipeline_alone_and_together(
    name: str, model: Callable[[str], Pipeline], predictor: Callable[[str], CompiledTextPredictor]
) -> None:
    words = "good bad film not the plot was boring it's great! 10/10 <br />"
    inputs = [*ODDITIES, "x" * 100_000, (words * 2_000)[:100_000], "\U0001f600" * 100_000]

    together = predictor(name).probabilities(inputs)

    assert_equal(together, model(name).predict_proba(inputs))
    alone = np.concatenate([predictor(name).probabilities([text]) for text in inputs])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-10)


@checked
@given(st.lists(texts, min_size=1, max_size=12))
def test_any_texts_get_the_probabilities_of_the_pipeline(
    model: Callable[[str], Pipeline],
    predictor: Callable[[str], CompiledTextPredictor],
    inputs: list[str],
) -> None:
    for name in ("bow-bayes", "tfidf-logistic", "bigrams-logistic", "three-bigrams"):
        ours = predictor(name).probabilities(inputs)
        assert_equal(ours, model(name).predict_proba(inputs))
        alone = np.concatenate([predictor(name).probabilities([text]) for text in inputs])
        np.testing.assert_allclose(alone, ours, rtol=0, atol=1e-12)


@tried(0.5, suppress_health_check=_CHECKS)
@given(data=st.data())
def test_any_options_give_the_probabilities_of_the_pipeline(
    snippets: list[tuple[str, int]], data: st.DataObject
) -> None:
    counter = data.draw(
        st.fixed_dictionaries(
            {
                "bigrams": st.booleans(),
                "min_documents": st.integers(1, 3),
                "max_features": st.sampled_from([None, 1, 30, 300]),
                "binary": st.booleans(),
            }
        )
    )
    normalizer = data.draw(
        st.fixed_dictionaries(
            {
                "punctuation": st.booleans(),
                "lowercase": st.booleans(),
                "numbers": st.booleans(),
                "emphasis": st.booleans(),
                "normal_form": st.booleans(),
                "stop_words": st.sampled_from(["keep", "drop", "drop_except_negations"]),
                "contractions": st.sampled_from(["split", "keep", "expand"]),
            }
        )
    )
    weighting = data.draw(
        st.none()
        | st.fixed_dictionaries(
            {
                "norm": st.sampled_from([None, "l1", "l2"]),
                "use_idf": st.booleans(),
                "sublinear_tf": st.booleans(),
                "smooth_idf": st.booleans(),
            }
        )
    )
    classifier = data.draw(st.sampled_from([LogisticRegression(tol=0.1), MultinomialNB()]))
    steps: list[Any] = [TextNormalizer(**normalizer), NgramCounter(**counter)]
    steps += [] if weighting is None else [TfidfTransformer(**weighting)]
    documents, labels = zip(*snippets[:60], strict=True)
    pipeline = make_pipeline(*steps, classifier).fit(documents, labels)
    inputs = [*documents[:5], *(text for text, _ in snippets[60:70]), *data.draw(st.lists(texts))]

    found = compile_text_predictor(pipeline)

    assert found is not None
    expected = pipeline.predict_proba(inputs)
    assert_equal(found.probabilities(inputs), expected)
    assert_equal(np.concatenate([found.probabilities([text]) for text in inputs]), expected)
    for text in inputs[-3:]:
        contributions = found.explain(text, "1", limit=None)
        total = found.baseline("1") + sum(each.contribution for each in contributions)
        classes = {str(label): label for label in pipeline.classes_}
        assert total == pytest.approx(decisions(pipeline, text, classes["1"]), abs=1e-9)


def test_no_text_gives_no_row(
    model: Callable[[str], Pipeline], predictor: Callable[[str], CompiledTextPredictor]
) -> None:
    for name in ("bow-bayes", "bigrams-logistic", "three-bayes"):
        n_classes = len(model(name).classes_)
        assert predictor(name).probabilities([]).shape == (0, n_classes)
        assert PipelinePredictor(model(name)).probabilities([]).shape == (0, n_classes)


def test_one_text_in_place_of_a_list_is_refused(
    predictor: Callable[[str], CompiledTextPredictor],
) -> None:
    with pytest.raises(TypeError, match="put it into a list"):
        predictor("bow-bayes").probabilities("good")


@pytest.mark.slow
def test_threads_that_ask_at_once_get_the_same_answers(
    table: pa.Table, model: Callable[[str], Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few that generations change all the time.
    monkeypatch.setattr(compiled, "MEMO_WORDS", 200)
    inputs = table["text"][:200].to_pylist()
    found = compile_text_predictor(model("bigrams-logistic"))
    assert found is not None
    expected = model("bigrams-logistic").predict_proba(inputs)

    with ThreadPoolExecutor(8) as executor:
        answers = list(executor.map(found.probabilities, [inputs] * 12))

    for answer in answers:
        assert_equal(answer, expected)


def test_words_that_nobody_knows_do_not_fill_the_memory(
    model: Callable[[str], Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "MEMO_WORDS", 100)
    remembered: list[compiled.Memo] = []
    create = compiled.Memo.__init__

    def watch(memo: compiled.Memo, find: Callable[[str], tuple[int, ...]]) -> None:
        remembered.append(memo)
        create(memo, find)

    monkeypatch.setattr(compiled.Memo, "__init__", watch)
    found = compile_text_predictor(model("tfidf-logistic"))
    assert found is not None
    for start in range(0, 2_000, 20):
        found.probabilities([" ".join(chr(0x4E00 + n) for n in range(start, start + 20))])
        assert all(len(memo) + len(memo.older) <= 200 for memo in remembered)

    found.probabilities(["y" * (MEMO_WORD_LENGTH + 1)])
    (memo,) = remembered
    assert max(map(len, [*memo, *memo.older])) <= MEMO_WORD_LENGTH
    before = found.probabilities(["good film"])
    found.forget()
    assert not memo
    assert not memo.older
    np.testing.assert_array_equal(found.probabilities(["good film"]), before)


@checked
@given(text=texts)
def test_spans_stand_where_the_words_of_the_feature_are(
    predictor: Callable[[str], CompiledTextPredictor], model: Callable[[str], Pipeline], text: str
) -> None:
    for name in ("tfidf-logistic", "bigrams-logistic"):
        normalizer = model(name)[0]
        for found in predictor(name).explain(text, "positive", limit=None):
            assert found.spans
            tokens = [
                token
                for start, end in found.spans
                for token in next(iter(normalizer.transform([text[start:end]])))
            ]
            assert set(found.feature.split(" ")) <= set(tokens)
            assert all(0 <= start < end <= len(text) for start, end in found.spans)
            assert list(found.spans) == sorted(set(found.spans))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_contributions_and_baseline_add_up_to_the_decision(
    name: str,
    table: pa.Table,
    model: Callable[[str], Pipeline],
    predictor: Callable[[str], CompiledTextPredictor],
) -> None:
    for text in [*table["text"][:20].to_pylist(), *ODDITIES]:
        for label in predictor(name).classes:
            found = predictor(name).explain(text, label, limit=None)
            total = predictor(name).baseline(label, text) + sum(each.contribution for each in found)
            assert total == pytest.approx(decisions(model(name), text, label), abs=1e-9)


@checked
@given(text=texts)
def test_contributions_add_up_for_any_text(
    model: Callable[[str], Pipeline], predictor: Callable[[str], CompiledTextPredictor], text: str
) -> None:
    for name in ("bigrams-logistic", "three-bayes"):
        label = predictor(name).classes[-1]
        found = predictor(name).explain(text, label, limit=None)
        total = predictor(name).baseline(label, text) + sum(each.contribution for each in found)
        assert total == pytest.approx(decisions(model(name), text, label), abs=1e-9)


def toy(**options: Any) -> CompiledTextPredictor:
    """Return a predictor that knows few words: good things are positive."""
    documents = [
        "not good film",
        "good film!",
        "a fine film, do not miss",
        "bad film",
        "not bad",
        "awful, bad!",
    ]
    pipeline = make_pipeline(TextNormalizer(**options), NgramCounter(bigrams=True), MultinomialNB())
    found = compile_text_predictor(pipeline.fit(documents, ["no", "yes", "yes", "no", "yes", "no"]))
    assert found is not None
    return found


def test_a_reader_sees_each_word_where_it_was_typed() -> None:
    text = (
        "\U0001f600 <b>Good</b>, \u201cGOOD\u201d www.good.com don\u2019t miss \ud83d\ude00 BAD!?"
    )
    found = toy(stop_words="keep", contractions="expand", emphasis=True).explain(text, "yes")

    words = {each.feature: [text[start:end] for start, end in each.spans] for each in found}

    assert words == {
        "good": ["Good", "GOOD"],
        "do": ["don\u2019t"],
        "not": ["don\u2019t"],
        "do not": ["don\u2019t"],
        "miss": ["miss"],
        "not miss": ["don\u2019t", "miss"],
        "bad": ["BAD"],
        "!": ["!"],
        "bad !": ["BAD", "!"],
    }


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("a not&nbsp;good film", "a not good film"),
        ("a not\x00good film", "a not good film"),
        ("don&#39;t miss a ba\u00add \ufb01lm", "don't miss a bad film"),
        ("don\u00b4t miss a b\u200dad \uff46\uff49\uff4c\uff4d", "don't miss a bad film"),
        ("\ud83d a cliche\u0301 &amp; a bad film", "\ufffd a clich\u00e9 & a bad film"),
    ],
)
def test_a_text_in_another_form_gets_the_same_answer_for_the_same_words(
    typed: str, plain: str
) -> None:
    predictor = toy(stop_words="keep", contractions="expand")

    assert predictor.probabilities([typed]).tolist() == predictor.probabilities([plain]).tolist()
    found, expected = (predictor.explain(text, "yes", limit=None) for text in (typed, plain))
    assert [(e.feature, e.contribution) for e in found] == [
        (e.feature, e.contribution) for e in expected
    ]
    # The words where they stand in the text that was sent.
    assert [[normal_form(typed[slice(*span)]) for span in each.spans] for each in found] == [
        [plain[slice(*span)] for span in each.spans] for each in expected
    ]


def test_a_capital_that_grows_in_lower_case_moves_nothing_behind_it() -> None:
    text = "İİİ good İfilm bad"
    found = toy().explain(text, "yes")

    assert {each.feature: each.spans for each in found} == {"good": ((4, 8),), "bad": ((15, 18),)}


def test_the_largest_contributions_come_first_and_point_to_the_label() -> None:
    predictor = toy(stop_words="keep")
    everything = predictor.explain("a good film, not awful", "yes", limit=None)

    sizes = [abs(each.contribution) for each in everything]
    assert sizes == sorted(sizes, reverse=True)
    assert predictor.explain("a good film, not awful", "yes", limit=2) == everything[:2]
    against = predictor.explain("a good film, not awful", "no", limit=None)
    assert [-each.contribution for each in against] == [each.contribution for each in everything]
    assert predictor.baseline("yes") == pytest.approx(log(1))
    (awful,) = (each for each in everything if each.feature == "awful")
    assert awful.contribution < 0


@pytest.mark.parametrize("words", [10, 10_000, 40_000])
def test_the_steps_of_an_explanation_are_as_many_as_its_text_has_thousands_of_words(
    words: int,
) -> None:
    text = " ".join(["good", "dull"] * (words // 2))
    steps = toy().explanation_in_steps(text, "yes")

    count = sum(1 for _ in steps)

    assert words // 2_048 <= count <= 8 + words // 500
    assert finish(toy().explanation_in_steps(text, "yes")) == toy().explanation(text, "yes")


def test_an_unknown_label_is_refused_by_name(model: Callable[[str], Pipeline]) -> None:
    for predictor in (toy(), PipelinePredictor(model("bow-bayes"))):
        with pytest.raises(ValueError, match="no class 'maybe'"):
            predictor.explain("good", "maybe")


def test_a_model_that_compiles_and_agrees_is_used_compiled(
    model: Callable[[str], Pipeline], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = build_predictor(model("bigrams-logistic"), ODDITIES)

    assert isinstance(found, CompiledTextPredictor)
    assert f"compiled: its probabilities for {len(ODDITIES)} texts" in caplog.text


def test_a_model_that_compiles_to_something_else_is_used_as_it_is(
    model: Callable[[str], Pipeline],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Stands for a version of scikit-learn that weighs in another way than is known here.
    monkeypatch.setattr(compiled.Weights, "_values", lambda _, counts: counts)
    check = ["good good bad film"]

    found = build_predictor(model("bigrams-logistic"), check)

    assert isinstance(found, PipelinePredictor)
    assert "differ by up to" in caplog.text
    assert_equal(found.probabilities(check), model("bigrams-logistic").predict_proba(check))
    (word,) = found.explain("good", "positive")
    assert (word.feature, word.spans) == ("good", ((0, 4),))
    assert word.contribution > 0


@pytest.mark.parametrize(
    "steps",
    [
        [TextNormalizer(), NgramCounter(), BernoulliNB()],
        [TextNormalizer(), NgramCounter(), StandardScaler(with_mean=False), LogisticRegression()],
        [TextNormalizer(), NgramCounter(), MultinomialNB(alpha=0.0, force_alpha=True)],
    ],
    ids=["no linear form", "another step", "infinite weights"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_other_models_are_used_as_they_are(
    steps: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = make_pipeline(*steps).fit(["good film", "bad film"], ["no", "yes"])

    with caplog.at_level(logging.INFO):
        found = build_predictor(pipeline, ["good film"])

    assert isinstance(found, PipelinePredictor)
    assert f"NgramCounter > {' > '.join(type(step).__name__ for step in steps[2:])}" in caplog.text
    assert_equal(found.probabilities(["bad film"]), pipeline.predict_proba(["bad film"]))
