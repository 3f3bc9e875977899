"""The shipped curriculum against the rules that a curriculum has to keep (19 to 23)."""

import json
import re
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.utils import load_tokenizer

from engine.contract.settings.config import CurriculumConfig, ThresholdsConfig
from engine.contract.settings.load import load_config
from engine.data.curriculum import Curriculum, load_curriculum
from engine.data.forms.row_types import Pair
from engine.data.heldout.leaks import find_leaks
from engine.data.topic import Topic
from engine.evaluation.markers import find_markers, named
from engine.evaluation.score.parts.health import measure_health
from engine.evaluation.score.profile_claims import Violations, find_violations
from engine.evaluation.score.scorer import Scorer
from engine.evaluation.scoring import claims_of
from engine.model import loading
from engine.preflight.gates import scorer_of_rows, unreachable, voice_of_rows

ROOT = Path(__file__).parents[3]
KEEPER = ROOT / "configs/curricula/keeper"
NEAR = 0.5  # share of word 3-grams in common


@pytest.fixture(scope="module")
def keeper() -> Curriculum:
    return load_curriculum(CurriculumConfig(str(KEEPER)), needs_pairs=True)


@pytest.fixture(scope="module")
def scorer(keeper: Curriculum) -> Scorer:
    """From the rows alone, as a run has it before its base model has answered."""
    found = scorer_of_rows(keeper)
    assert found is not None and found.style.separable
    return found


def pairs_of(topic: Topic) -> tuple[Pair, ...]:
    return (*topic.pairs, *topic.heldout)


def answers(topic: Topic) -> list[tuple[str, str]]:
    """(where, text) of all that is in the keeper's voice."""
    found = [(row.where, row.answer) for row in topic.sft]
    found += [(pair.where, pair.chosen) for pair in pairs_of(topic)]
    return found + [(question.where, question.reference) for question in topic.questions]


def questions(topic: Topic) -> list[tuple[str, str]]:
    found = [(row.where, row.messages[-1].content) for row in (*topic.sft, *pairs_of(topic))]
    return found + [(question.where, question.question) for question in topic.questions]


def test_twenty_eight_topics_with_enough_rows_each(keeper: Curriculum) -> None:
    assert len(keeper.topics) == 28
    for topic in keeper.topics:
        assert len(topic.sft) >= 8, topic.id
        assert len(pairs_of(topic)) >= 6 and len(topic.heldout) >= 2, topic.id
        assert len(topic.questions) >= 3, topic.id
        assert topic.title and topic.unit_title and topic.chapter_title


def test_every_row_of_the_files_is_used(keeper: Curriculum) -> None:
    """Rule 23, counted from the files and not from what the loader says."""
    lines = sum(len((KEEPER / f"{n}.jsonl").read_text().split("\n")) - 1 for n in ("sft", "preferences", "quiz"))
    used = sum(len(t.sft) + len(pairs_of(t)) + len(t.questions) for t in keeper.topics)
    assert lines == used == keeper.rows_read == keeper.rows_used
    assert keeper.rows_reported == 0 and keeper.warnings == ()


def test_nothing_held_out_is_trained_on(keeper: Curriculum) -> None:
    assert not list(find_leaks(keeper.topics))


def test_the_gates_can_be_reached(keeper: Curriculum, scorer: Scorer) -> None:
    assert unreachable(keeper, ThresholdsConfig(), scorer) == []
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        config = load_config(path)
        if Path(config.curriculum.path) == KEEPER:
            assert unreachable(keeper, config.thresholds, scorer) == [], path


def test_answers_are_of_a_speakable_length(keeper: Curriculum) -> None:
    tokenizer = load_tokenizer(loading.locate("smollm2-135m-instruct", print))
    rejected = [(pair.where, pair.rejected) for topic in keeper.topics for pair in pairs_of(topic)]
    texts = [item for topic in keeper.topics for item in answers(topic)] + rejected
    counted = [(len(tokenizer.encode(text, add_special_tokens=False)), where) for where, text in texts]
    assert min(counted)[0] >= 40, min(counted)
    assert max(counted)[0] <= 110, max(counted)


def grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w']+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def nearest_two(items: Iterable[tuple[str, str]]) -> tuple[float, str, str]:
    found = [(where, grams(text)) for where, text in items]
    return max((len(a & b) / max(1, len(a | b)), x, y) for (x, a), (y, b) in combinations(found, 2))


def test_no_two_answers_are_nearly_the_same(keeper: Curriculum) -> None:
    found = [item for topic in keeper.topics for item in answers(topic)]
    rejected = [(pair.where, pair.rejected) for topic in keeper.topics for pair in pairs_of(topic)]
    assert nearest_two(found)[0] < 0.25, nearest_two(found)
    assert nearest_two(rejected)[0] < 0.25, nearest_two(rejected)


def test_no_two_questions_are_nearly_the_same(keeper: Curriculum) -> None:
    found = [item for topic in keeper.topics for item in questions(topic)]
    assert nearest_two(found)[0] < NEAR, nearest_two(found)
    plain = [" ".join(re.findall(r"\w+", text.lower())) for _, text in found]
    assert len(set(plain)) == len(plain)


def test_the_nets_for_near_duplicates_catch_one(keeper: Curriculum) -> None:
    where, text = answers(keeper.topics[0])[0]
    assert nearest_two([(where, text), ("again", "Och. " + text)])[0] > NEAR


def test_no_two_answers_share_a_sentence(keeper: Curriculum) -> None:
    first: dict[str, str] = {}
    for topic in keeper.topics:
        for where, text in answers(topic):
            for sentence in re.split(r"(?<=[.!?]) ", text):
                if len(sentence.split()) >= 6:
                    assert first.setdefault(sentence.lower(), where) == where, sentence


def test_rejected_answers_are_as_long_as_chosen_ones(keeper: Curriculum) -> None:
    """Rule 22, over all pairs and over those that are trained on; the loader warned of none."""
    for topic in keeper.topics:
        for pairs in (topic.pairs, pairs_of(topic)):
            ratio = sum(len(p.rejected) for p in pairs) / sum(len(p.chosen) for p in pairs)
            assert 0.8 <= ratio <= 1.25, (topic.id, ratio)


def test_references_and_trained_answers_break_no_rule_of_the_voice(keeper: Curriculum) -> None:
    """Rule 20; and each has a marker of every group, which the console highlights."""
    for topic in keeper.topics:
        for where, text in answers(topic):
            assert measure_health(text).healthy, where
            assert find_violations(claims_of(keeper.profile), text) == Violations(), where
            assert all(find_markers(keeper.profile, text)[0].values()), where


def test_rejected_answers_are_sound_answers_without_the_voice(keeper: Curriculum) -> None:
    for topic in keeper.topics:
        for pair in pairs_of(topic):
            assert measure_health(pair.rejected).healthy, pair.where


def test_the_score_tells_the_voice_from_its_opposite(keeper: Curriculum, scorer: Scorer) -> None:
    for topic in keeper.topics:
        voice = voice_of_rows(keeper, topic, scorer)
        assert (voice["references"] or 0) >= 0.8 and (voice["chosen"] or 0) >= 0.8, (topic.id, voice)
        assert (voice["rejected"] or 0) <= 0.1, (topic.id, voice)


def test_concepts_stand_in_their_references(keeper: Curriculum) -> None:
    for topic in keeper.topics:
        for question in topic.questions:
            assert 2 <= len(question.concepts) <= 5, question.where
            for concept in question.concepts:
                assert named([concept], question.reference), (question.where, concept)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (KEEPER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["sft", "preferences", "quiz"])
def test_the_files_are_plain_text(name: str) -> None:
    for number, row in enumerate(rows(name), 1):
        text = json.dumps(row, ensure_ascii=False)
        assert not set("’‘“”—\t") & set(text) and "\\n" not in text and text.isprintable(), f"{name}.jsonl:{number}"
