"""Messages become conversations: joined, split at silence, with every answer of the person, and nothing lost."""

from engine.intake.rows.conversations import ANSWERS, NOT_ANSWERED, OPEN, Conversations
from engine.intake.rows.parts import Left, Part
from engine.intake.sources.items import Message

MINUTE, HOUR = 60.0, 3600.0


def said(author: str, minutes: float, text: str, thread: str = "t") -> Message:
    return Message(author, minutes * MINUTE, text, thread, f"message at {minutes:g}")


def parts(messages: list[Message]) -> tuple[list[Part], list[Left]]:
    conversations = Conversations(lambda message: message.author == "me", 10 * MINUTE, 6 * HOUR)
    found = [part for message in messages for part in conversations.take(message)] + list(conversations.end())
    made = [part for part in found if isinstance(part, Part)]
    left = [part for part in found if isinstance(part, Left)]
    assert sum(part.items for part in made) + len(left) == len(messages)  # rule 23
    return made, left


def turns(part: Part) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in part.turns]


def test_messages_within_the_window_are_one_turn() -> None:
    made, left = parts(
        [said("you", 0, "Coming?"), said("you", 1, "At eight?"), said("me", 2, "Aye."), said("me", 9, "Late.")]
    )
    assert [turns(part) for part in made] == [[("user", "Coming?\nAt eight?"), ("assistant", "Aye.\nLate.")]]
    assert left == []


def test_an_author_who_writes_again_after_the_window_begins_another_conversation() -> None:
    made, left = parts([said("you", 0, "Hello"), said("you", 30, "Coming?"), said("me", 31, "Aye.")])
    assert [turns(part) for part in made] == [[("user", "Coming?"), ("assistant", "Aye.")]]
    assert [(one.reason, one.text) for one in left] == [(NOT_ANSWERED, "Hello")]


def test_a_long_silence_ends_a_conversation_and_every_answer_is_kept() -> None:
    made, _ = parts(
        [
            said("you", 0, "a?"),
            said("me", 1, "b"),
            said("you", 2, "c?"),
            said("me", 3, "d"),
            said("you", 500, "e?"),
            said("me", 501, "f"),
        ]
    )
    assert [len(part.turns) for part in made] == [4, 2]


def test_what_the_person_begins_with_is_a_passage_of_its_own() -> None:
    made, left = parts(
        [said("me", 0, "I found a spring."), said("you", 1, "Where?"), said("me", 2, "Under the bench.")]
    )
    assert [turns(part)[0][0] for part in made] == ["assistant", "user"]
    assert left == []


def test_a_conversation_has_a_bounded_number_of_answers() -> None:
    messages = [said("me" if i % 2 else "you", i, str(i)) for i in range(6 * ANSWERS)]
    made, left = parts(messages)
    assert {sum(turn.role == "assistant" for turn in part.turns) for part in made} == {ANSWERS}
    assert left == []


def test_threads_do_not_mix_and_few_are_open_at_a_time() -> None:
    asked = [said("you", 0, f"{i}?", str(i)) for i in range(OPEN + 5)]
    answered = [said("me", 1, str(i), str(i)) for i in range(OPEN + 5)]
    made, left = parts([*asked, *answered])
    assert len([part for part in made if part.turns[0].role == "user"]) < OPEN + 5 and left
    assert all(part.turns[-1].text + "?" == part.turns[0].text for part in made if len(part.turns) == 2)
