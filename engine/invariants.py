"""The rules that the engine holds itself to while it runs, each named by its number in the list of old failures."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `number` as in the list of failures, `name` as journaled, `text` in a sentence."""

    number: int
    name: str
    text: str


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(1, "no-stacked-adapter", "Before attach and after detach or fuse the model has no adapter module."),
        Rule(3, "trainable-set", "The trainable parameters are those of the requested adapter and no others."),
        Rule(4, "requested-modules", "The adapted modules are the requested ones, in every requested layer."),
        Rule(6, "frozen-unchanged", "Every frozen parameter has the same fingerprint after a phase as before it."),
        Rule(7, "fuse-moves-weights", "The fused model answers as the model with its adapter attached did."),
        Rule(7, "detach-restores", "After detach the logits equal those before attach, bit for bit."),
        Rule(8, "ledger-declares", "A topic starts with the model that the ledger declares."),
        Rule(9, "dpo-starts-at-ln2", "The first DPO loss is ln 2, none is negative, and it falls as chosen gains."),
        Rule(10, "reference-fixed", "The reference log-probabilities are the same at the last step as at the first."),
        Rule(11, "padding-is-nothing", "Padding and batch mates change no log-probability."),
        Rule(12, "supervised-exactly", "Supervised tokens are the answer's and one end token."),
        Rule(13, "one-template", "A training row begins with the very tokens that the model is asked with."),
        Rule(14, "steps-as-planned", "Optimizer steps done equal steps planned, and the adapter has moved."),
        Rule(19, "questions-held-out", "No held-out question or answer is trained on."),
        Rule(28, "finite-steps", "Two steps that are not finite end the phase."),
    )
}


class Broken(Exception):
    """A rule does not hold: the phase is rolled back and nothing of it is committed."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = RULES[rule]


class Checks:
    """What this process has looked at: how often each rule was found to hold."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()


CHECKS = Checks()


def require(rule: str, holds: bool, message: str) -> None:
    """Raises Broken, with what was found and what was expected, where a rule does not hold."""
    if not holds:
        raise Broken(rule, message)
    CHECKS.held[rule] += 1
