"""Style score: how certain a classifier is that the person wrote a text.

Clauses are vectors of character 1-4-grams (TF-IDF), classified by logistic regression. Texts are scored out of fold,
and the score is calibrated on the curriculum. A text's raw score is the mean probability of its clauses, weighted by
words. The clauses most like the voice, up to BEST_PART of the words, do not count. So it does not help to put markers
before or into another text. Each clause of the person is learned a second time without the most telling words, so that
the score does not depend on these words alone.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.score.parts.style_features import Features, clause_words
from engine.evaluation.score.texts import WORD, Text, clauses, words

FOLDS = 4
BEST_PART = 0.25  # share of the words that a score leaves out: those of the clauses most like the voice
NOT_VOICE_QUANTILE, REFERENCE_QUANTILE = 0.95, 0.05
FEW_REFERENCES = 40  # with fewer, the training texts in the voice (out of fold) count as references too
MARKERS = 12  # number of telling words put before other texts, to measure how much that raises their score
PRIOR_WORDS = 5  # words with score `low` that are added to every text, so that a single word proves little
SMALLEST_GAP = 0.02  # smallest gap between the two quantiles; if it is smaller, the rows do not show the voice
TELLING_WORDS = 40
STRENGTH = 1.0  # inverse of the L2 penalty, scikit-learn's default


@dataclass(frozen=True, slots=True)
class ClauseScore:
    """A clause of an answer, its number of words, and the probability that the person wrote it."""

    text: str
    words: int
    probability: float


@dataclass(frozen=True, slots=True)
class StyleScore:
    """Style score of a text. `value` is calibrated and clipped to [0, 1]; `raw` is the mean over the weaker clauses."""

    value: float
    raw: float
    clauses: tuple[ClauseScore, ...]


@dataclass(frozen=True, slots=True)
class StyleModel:
    """One linear classifier per fold over the same n-grams.

    `weights` is (folds, n-grams). A text of a known topic is scored by the classifier that has not seen the topic. Any
    other text is scored by the mean of the classifiers. `low` and `high` are the raw scores that become 0 and 1.
    `telling_words` are the words most typical of the voice, most typical first.
    """

    features: Features
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    folds: dict[str, int]
    low: float
    high: float
    telling_words: tuple[str, ...]

    @property
    def separable(self) -> bool:
        """Tells whether the rows separate the voice: few other texts score as high as the weakest references."""
        return self.high - self.low >= SMALLEST_GAP

    @property
    def advice(self) -> str | None:
        """Returns advice if the rows do not separate the voice from other texts, or None."""
        if self.separable:
            return None
        return (
            "the rows do not tell this voice from other text: 5 % of the texts that are not in the voice score "
            f"{self.low:.2f} or more, and 5 % of the references score {self.high:.2f} or less; add rows in the voice, "
            "or rejected answers that say the same without it"
        )

    def score(self, topic: str, text: str) -> StyleScore:
        """Scores a text by the classifier that has not seen its topic."""
        return self.score_by_fold(self.folds.get(topic), text)

    def score_by_fold(self, fold: int | None, text: str) -> StyleScore:
        """Scores a text by the classifier that was fitted without `fold`, or by the mean of all if it is None."""
        found = [
            ClauseScore(clause, clause_words(clause), _sigmoid(self._logit(fold, clause))) for clause in clauses(text)
        ]
        sizes = [clause.words for clause in found]
        raw = self.shrunk(weaker_mean([clause.probability for clause in found], sizes), sum(sizes))
        value = (raw - self.low) / max(self.high - self.low, SMALLEST_GAP) if found else 0.0
        return StyleScore(min(1.0, max(0.0, value)), raw, tuple(found))

    def shrunk(self, raw: float, size: int) -> float:
        """Moves the raw score of a short text towards `low`, because one or two words do not show a voice."""
        return self.low + (raw - self.low) * size / (size + PRIOR_WORDS)

    def telling_spans(self, topic: str, text: str, most: int = 8) -> list[tuple[int, int]]:
        """Returns the positions (start, end) of the words most typical of the voice, in the order of the text."""
        scored: list[tuple[float, int, int]] = []
        telling = set(self.telling_words)
        for start, end in self.features.word_places(text):
            logit = self._logit(self.folds.get(topic), f" {text[start:end]} ", bare=True)
            if logit > 0 and text[start:end].lower() in telling:
                scored.append((-logit, start, end))
        return sorted((start, end) for _, start, end in sorted(scored)[:most])

    def _logit(self, fold: int | None, clause: str, bare: bool = False) -> float:
        columns, values = self.features.vector(clause)
        if fold is None:
            weights, intercept = self.weights[:, columns].astype(np.float64).mean(0), float(self.intercepts.mean())
        else:
            weights, intercept = self.weights[fold, columns].astype(np.float64), float(self.intercepts[fold])
        return float(values @ weights) + (0.0 if bare else intercept)


def weaker_mean(probabilities: Sequence[float], sizes: Sequence[int]) -> float:
    """Returns the mean weighted by sizes, without the largest values up to BEST_PART of all sizes."""
    left = (1 - BEST_PART) * sum(sizes)
    total, rest = 0.0, left
    for probability, size in sorted(zip(probabilities, sizes, strict=True)):
        taken = min(size, rest)
        total, rest = total + taken * probability, rest - taken
    return total / left if left > 0 else 0.0


def uncorrected_score(score: StyleScore) -> float:
    """Returns the mean probability over the weaker clauses, without the correction for short texts."""
    return weaker_mean([clause.probability for clause in score.clauses], [clause.words for clause in score.clauses])


def fit_style(own: Sequence[Text], others: Sequence[Text], references: Sequence[Text]) -> StyleModel:
    """Fits the classifiers on `own` and `others`, and calibrates them. `references` are only scored.

    Raises ValueError if `own` or `others` has no texts, because the classifiers need both.
    """
    own, others = ([text for text in side if clauses(text.text)] for side in (own, others))
    if not own or not others:
        raise ValueError("a style needs texts in the voice, and other texts: rejected answers or the base's own")
    folds, row_folds = _divide([*own, *others])
    texts = [*own, *others]
    pieces = [(clause, row) for row, text in enumerate(texts) for clause in clauses(text.text)]
    features = Features.fit([clause for clause, _ in pieces])
    labels = np.array([row < len(own) for _, row in pieces])
    held_out = np.array([row_folds[row] for _, row in pieces])
    matrix = features.matrix([clause for clause, _ in pieces])
    weights, intercepts = _fit_folds(matrix, labels, held_out)
    telling = _telling(StyleModel(features, weights, intercepts, folds, 0.0, 1.0, ()), own)
    plain = [
        (bare, row) for clause, row in pieces if row < len(own) and (bare := without_words(clause, telling)) != clause
    ]
    plain = [(bare, row) for bare, row in plain if WORD.search(bare)]
    if plain:
        labels = np.concatenate([labels, np.ones(len(plain), np.bool_)])
        held_out = np.concatenate([held_out, np.array([row_folds[row] for _, row in plain])])
        weights, intercepts = _fit_folds(features.matrix([clause for clause, _ in plain], matrix), labels, held_out)
    model = StyleModel(features, weights, intercepts, folds, 0.0, 1.0, ())
    scores = [model.score_by_fold(fold, text.text) for fold, text in zip(row_folds, texts, strict=True)]
    behind = f"{' '.join(telling[:MARKERS])}, "
    stuffed = [
        model.score_by_fold(fold, behind + text.text) for fold, text in zip(row_folds[len(own) :], others, strict=True)
    ]
    low = float(
        np.quantile([uncorrected_score(score) for score in [*scores[len(own) :], *stuffed]], NOT_VOICE_QUANTILE)
    )
    model = StyleModel(features, weights, intercepts, folds, low, 1.0, ())
    raw = [model.shrunk(uncorrected_score(score), sum(clause.words for clause in score.clauses)) for score in scores]
    of_references = [model.score(text.topic, text.text).raw for text in references if clauses(text.text)]
    if len(of_references) < FEW_REFERENCES:
        of_references += raw[: len(own)]
    high = float(np.quantile(of_references, REFERENCE_QUANTILE))
    return StyleModel(features, weights, intercepts, folds, low, high, telling)


def without_words(clause: str, telling: Sequence[str]) -> str:
    """Returns a clause without the telling words."""
    removed = set(telling)
    return " ".join(part for part in clause.split() if " ".join(words(part)) not in removed)


def _divide(texts: Sequence[Text]) -> tuple[dict[str, int], list[int]]:
    """Divides the texts into folds. Returns the fold of each topic and the fold of each text.

    If there are fewer topics than folds, questions are divided instead of topics.
    """
    topics = sorted({text.topic for text in texts})
    if len(topics) >= FOLDS:
        folds = {topic: number % FOLDS for number, topic in enumerate(topics)}
        return folds, [folds[text.topic] for text in texts]
    questions = {key: number % FOLDS for number, key in enumerate(dict.fromkeys((t.topic, t.question) for t in texts))}
    return {}, [questions[text.topic, text.question] for text in texts]


def _fit_folds(
    matrix: Any, labels: NDArray[np.bool_], held_out: NDArray[np.int_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fits one classifier per fold on the other folds. Returns weights (folds, n-grams) and intercepts (folds,)."""
    # Imported here because scikit-learn takes a second to import, and only fitting needs it.
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    weights, intercepts = [], []
    with threadpool_limits(1):  # the same sums in the same order on every machine, and faster on small data
        for fold in range(FOLDS):
            rows = held_out != fold
            if len(set(labels[rows].tolist())) < 2:
                rows = np.ones_like(rows)
            classifier = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=200, tol=1e-4)
            classifier.fit(matrix[rows], labels[rows])
            weights.append(classifier.coef_[0])
            intercepts.append(classifier.intercept_[0])
    return np.array(weights, np.float32), np.array(intercepts, np.float32)


def _telling(model: StyleModel, own: Sequence[Text]) -> tuple[str, ...]:
    """Returns the words most typical of the voice for the classifiers, among words of at least two own texts."""
    counts = Counter(word for text in own for word in set(words(text.text)))
    logits = {word: model._logit(None, f" {word} ", bare=True) for word, count in counts.items() if count > 1}
    return tuple(sorted((w for w in logits if logits[w] > 0), key=lambda word: (-logits[word], word))[:TELLING_WORDS])


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))
