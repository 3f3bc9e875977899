"""Writes an Ollama Modelfile, with the model's chat template translated into Go's syntax."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.contract.errors import InputError
from engine.contract.settings.config import PENALIZED
from engine.data.templates.chat_template import Message

Render = Callable[[Sequence[Message], bool], str]  # messages, and whether the answer begins at the end -> text
QUESTION, ANSWER, MORE, RULES = "first question", "first answer", "second question", "the system's rules"
UNQUOTABLE = ("{{", '"""')  # Go would read the first, a Modelfile ends at the second
LARGEST_CONTEXT = 8192  # tokens that Ollama reserves memory for, unless the user asks for more


@dataclass(frozen=True, slots=True)
class Turns:
    """The constant texts of a chat template: what stands before and after the text of each role.

    `opening` stands first if there is no system message. `system` is None if the template refuses one.
    """

    opening: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str
    system: tuple[str, str] | None

    def render(self, messages: Sequence[Message]) -> str:
        """Returns what the Go template makes of the messages, up to the beginning of the answer."""
        pairs = {"user": self.user, "assistant": self.assistant, "system": self.system or ("", "")}
        first = "" if messages[0].role == "system" else self.opening
        turns = (pairs[message.role][0] + message.content + pairs[message.role][1] for message in messages)
        return first + "".join(turns) + self.answer

    def template(self, begin: str) -> str:
        """Returns the Go template; `begin` is the text of a token that llama.cpp adds itself, and is left out."""
        user, assistant = (f"{pair[0]}{{{{ .Content }}}}{pair[1]}" for pair in (self.user, self.assistant))
        opening = self.opening.removeprefix(begin)
        if self.system is not None:
            before, after = self.system
            given = f"{before.removeprefix(begin)}{{{{ .System }}}}{after}"
            opening = f"{{{{ if .System }}}}{given}{{{{ else }}}}{opening}{{{{ end }}}}"
        turns = (
            f'{{{{ range .Messages }}}}{{{{ if eq .Role "user" }}}}{user}'
            f'{{{{ else if eq .Role "assistant" }}}}{assistant}{{{{ end }}}}{{{{ end }}}}'
        )
        return f"{opening}{turns}{self.answer}"


def derive(render: Render) -> Turns | None:
    """Returns the constant texts of a chat template, or None if it is not made of them.

    They are found by rendering short conversations, and checked on others.
    """
    user, answer, more = Message("user", QUESTION), Message("assistant", ANSWER), Message("user", MORE)
    rules = Message("system", RULES)
    try:
        one, prompt = render([user], False), render([user], True)
        two, three = render([user, answer], False), render([user, answer, more], False)
        head, after_user = one.split(QUESTION)
        gap, after_answer = two.split(QUESTION)[1].split(ANSWER)
        next_gap = three.split(ANSWER)[1].split(MORE)[0]
    except ValueError:  # a text stands twice in the output, or not at all
        return None
    before_answer, before_user = gap.removeprefix(after_user), next_gap.removeprefix(after_answer)
    if not (prompt.startswith(one) and head.endswith(before_user)):
        return None
    turns = Turns(
        head.removesuffix(before_user), (before_user, after_user), (before_answer, after_answer),
        prompt.removeprefix(one), _system(render, [rules, user], before_user),
    )  # fmt: skip
    texts = (turns.opening, *turns.user, *turns.assistant, turns.answer, *(turns.system or ()))
    if any(mark in text for text in texts for mark in UNQUOTABLE):
        return None
    checked = [[user], [user, answer, more], [user, answer, more, answer, user]]
    if turns.system is not None:
        checked += [[rules, *messages] for messages in checked]
    return turns if all(turns.render(messages) == render(messages, True) for messages in checked) else None


def _system(render: Render, messages: Sequence[Message], before_user: str) -> tuple[str, str] | None:
    """Returns the texts around a system message, or None if the template refuses it or puts it elsewhere."""
    try:
        before, rest = render(messages, False).split(RULES)
    except (InputError, ValueError):
        return None
    between = rest.partition(QUESTION)[0]
    return (before, between.removesuffix(before_user)) if between.endswith(before_user) else None


def modelfile(
    file: str, template: str, stops: Sequence[str], context: int, licence: str | None, penalty: float = 1.0
) -> str:
    """Returns the text of a Modelfile that answers as evaluation does: greedily, with its `penalty` for repetition."""
    lines = [f"FROM ./{file}", f"TEMPLATE {_quoted(template)}"]
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stops]
    lines += [
        "PARAMETER temperature 0",
        f"PARAMETER repeat_penalty {penalty:g}",
        f"PARAMETER repeat_last_n {PENALIZED}",
    ]
    lines.append(f"PARAMETER num_ctx {min(context, LARGEST_CONTEXT)}")
    if licence is not None and UNQUOTABLE[1] not in licence:
        lines.append(f"LICENSE {_quoted(licence)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return f'"""{text}"""'
