"""Finds the topics of a workbook: one, the folders and headings of the texts, or clusters of what they are about."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfVectorizer
from sklearn.metrics import silhouette_score
from sklearn.naive_bayes import ComplementNB

from engine.contract.errors import InputError
from engine.contract.workbook.curriculum_files import ONE
from engine.contract.workbook.drafts import Topic
from engine.contract.workbook.files import Topics
from engine.contract.workbook.workbook import Entry, Workbook

Vectors = np.ndarray
Embed = Callable[[list[str]], Vectors]
LEAST_ROWS = 20  # of a topic
ENOUGH = 80  # rows for each topic of `auto`: every topic is trained and scored on its own, which takes time
MOST_TOPICS = 8  # of `auto`
EMBEDDED = 3000  # texts that are embedded; of more, a sample is, and the others go to the topic whose words they have
APART = 0.04  # mean silhouette: with less, the clusters are no topics
OTHER = Topic("texts/all/other", "Other texts")
SEED = 0
WORD = re.compile(r"(?u)\b[^\W\d_][\w'’]{2,}\b")
TOLD = 3  # words of a title


def require_topics(wanted: str) -> None:
    """Raises InputError if --topics is none of auto, one, folders and a number."""
    if wanted not in ("auto", "one", "folders") and not (wanted.isdecimal() and 1 <= int(wanted) <= 100):
        raise InputError(f"--topics: found {wanted!r}, expected auto, one, folders or a number from 1 to 100")


def find_topics(book: Workbook, wanted: str, earlier: Topics, again: bool, embed: Embed) -> Topics:
    """Returns the topics of a workbook. Drafts that have a topic keep it, unless all are to be found `again`.

    A workbook of one topic is looked at again, since it may have grown.
    """
    entries = [entry for entry in book.entries() if entry.usable or entry.draft.is_passage]
    if len(earlier.topics) > 1 and not again:
        return _extended(earlier, entries)
    if wanted == "folders":
        found = _by_heading(entries)
    elif wanted == "one" or (wanted == "auto" and len(entries) < 2 * ENOUGH) or len(entries) < 2 * LEAST_ROWS:
        found = Topics([ONE], {})
    else:
        found = _clustered(entries, None if wanted == "auto" else int(wanted), embed)
    ids = {topic.id for topic in found.topics}
    moved = {decision.topic for decision in book.decisions.values() if decision.topic} - ids
    return Topics([*found.topics, *(topic for topic in earlier.topics if topic.id in moved)], found.of)


def _text(entry: Entry) -> str:
    """Returns what a draft is about: its questions and answers."""
    return "\n".join(turn.text for turn in entry.turns)


def _by_heading(entries: Sequence[Entry]) -> Topics:
    """Returns a topic for each heading with enough rows; the others are one topic together."""
    counts = Counter(_heading(entry) for entry in entries)
    large = [heading for heading, count in counts.items() if count >= LEAST_ROWS and heading]
    if not large:
        return Topics([ONE], {})
    names = _distinct([_slug(heading) for heading in large])
    topics = {heading: Topic(f"texts/all/{name}", heading) for heading, name in zip(large, names, strict=True)}
    of = {entry.draft.id: topics.get(_heading(entry), OTHER).id for entry in entries}
    rest = [OTHER] if OTHER.id in of.values() else []
    return Topics([*topics.values(), *rest], of)


def _heading(entry: Entry) -> str:
    folder = entry.draft.source.rpartition("/")[0]
    return (folder or entry.draft.heading).strip()[:80]


def _clustered(entries: Sequence[Entry], wanted: int | None, embed: Embed) -> Topics:
    """Returns clusters of the texts by what they are about; their number by silhouette if none is `wanted`."""
    texts = [_text(entry) for entry in entries]
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(texts))[:EMBEDDED])
    vectors = embed([texts[i] for i in chosen])
    most = min(MOST_TOPICS, len(texts) // ENOUGH)
    tried = range(2, most + 1) if wanted is None else [min(wanted, len(texts) // LEAST_ROWS)]
    labels, best = np.zeros(len(chosen), int), APART if wanted is None else -2.0
    for count in tried:
        found = KMeans(count, n_init=4, random_state=SEED).fit_predict(vectors) if count > 1 else labels
        least = np.bincount(found).min() * len(texts) / len(chosen)
        score = float(silhouette_score(vectors, found, metric="cosine")) if count > 1 else -1.0
        if score > best and (least >= LEAST_ROWS or wanted is not None):
            labels, best = found, score
    if not labels.any():
        return Topics([ONE], {})
    names = [str(label) for label in labels]
    if len(chosen) < len(texts):
        names = _like([texts[i] for i in chosen], names, texts)
    groups = {
        name: [text for text, own in zip(texts, names, strict=True) if own == name] for name in sorted(set(names))
    }
    titles = _titles(list(groups.values()))
    slugs = _distinct([_slug(title) for title in titles])
    topics = {name: Topic(f"texts/all/{slug}", title) for name, slug, title in zip(groups, slugs, titles, strict=True)}
    of = {entry.draft.id: topics[name].id for entry, name in zip(entries, names, strict=True)}
    return Topics(list(topics.values()), of)


def _extended(earlier: Topics, entries: Sequence[Entry]) -> Topics:
    """Returns the earlier topics, with a topic for each new draft: the one whose words it has."""
    known = {topic.id for topic in earlier.topics}
    old = [entry for entry in entries if earlier.of.get(entry.draft.id) in known]
    new = [entry for entry in entries if entry.draft.id not in earlier.of]
    if not old or not new:
        return earlier
    names = _like([_text(entry) for entry in old], [earlier.of[entry.draft.id] for entry in old], list(map(_text, new)))
    return Topics(earlier.topics, earlier.of | dict(zip((entry.draft.id for entry in new), names, strict=True)))


def _like(texts: Sequence[str], names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Returns the name of each other text: that of the texts whose words it shares (naive Bayes)."""
    words = TfidfVectorizer(token_pattern=WORD.pattern, sublinear_tf=True, max_features=50_000)
    try:
        model = ComplementNB().fit(words.fit_transform(texts), names)
    except ValueError:  # not a single word in any text
        return [Counter(names).most_common(1)[0][0]] * len(others)
    return [str(name) for name in model.predict(words.transform(others))]


def _titles(groups: Sequence[Sequence[str]]) -> list[str]:
    """Returns the most telling words of each group: frequent in it and rare in the others (c-TF-IDF)."""
    words = CountVectorizer(token_pattern=WORD.pattern, stop_words=list(ENGLISH_STOP_WORDS), max_features=50_000)
    try:
        counts = words.fit_transform(["\n".join(group) for group in groups]).toarray().astype(float)
    except ValueError:  # not a single word in any text
        return [f"Topic {number + 1}" for number in range(len(groups))]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    weight = share * np.log1p(counts.sum() / len(groups) / counts.sum(0))
    names = words.get_feature_names_out()
    return [", ".join(names[i] for i in np.argsort(-row, kind="stable")[:TOLD]).capitalize() for row in weight]


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "topic"


def _distinct(names: Sequence[str]) -> list[str]:
    """Returns the names with a number behind each that was there before."""
    found: list[str] = []
    for name in names:
        tried = (name, *(f"{name}-{number}" for number in range(2, len(names) + 2)))
        found.append(next(one for one in tried if one not in found and one != "other"))
    return found
