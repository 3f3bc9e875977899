"""What a person's votes say about the score: how often the preferred answer is the one with the higher voice."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from engine.contract.intervals import count_interval
from engine.contract.vocabulary import STAGES
from engine.contract.wording import several
from mindprint_tui.votes.vote_file import Side, Vote


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of votes: `compared` are the decided ones in which the two voices differ, `agree` those of them that the
    score decides in the same way. `preferred` counts the decided ones by run and stage.
    """

    votes: int
    same: int
    neither: int
    compared: int
    agree: int
    preferred: dict[tuple[str, str], int]

    @property
    def decided(self) -> int:
        return self.votes - self.same - self.neither

    @property
    def agreement(self) -> str:
        """The share of agreement with its 90 % interval: `17 of 24, 0.71 (0.54 to 0.84)`."""
        if not self.compared:
            return "no vote yet in which the voices differ"
        low, high = count_interval(self.agree, self.compared)
        share = self.agree / self.compared
        return f"{self.agree} of {self.compared}, {share:.2f} (90 % interval {low:.2f} to {high:.2f})"

    @property
    def counts(self) -> str:
        """The votes by what they say: `40 votes: 35 decided, 3 alike, 2 for neither`."""
        return f"{several(self.votes, 'vote')}: {self.decided} decided, {self.same} alike, {self.neither} for neither"

    @property
    def by_stage(self) -> list[str]:
        """How often each run and stage was preferred, as `night after SFT 12`."""
        return [f"{run} {_label(stage)} {count}" for (run, stage), count in sorted(self.preferred.items())]


def tally(votes: Iterable[Vote]) -> Tally:
    """Counts votes."""
    found = list(votes)
    decided = [sides for vote in found if (sides := vote.sides)]
    differ = [(one.voice, two.voice) for one, two in decided if _differ(one, two)]
    preferred: Counter[tuple[str, str]] = Counter()
    for sides in decided:
        for side, count in zip(sides, (1, 0), strict=True):
            preferred[side.run, side.stage] += count
    return Tally(
        len(found),
        sum(vote.choice == "=" for vote in found),
        sum(vote.choice == "0" for vote in found),
        len(differ),
        sum((one or 0.0) > (two or 0.0) for one, two in differ),
        dict(preferred),
    )


def _differ(one: Side, two: Side) -> bool:
    return one.voice is not None and two.voice is not None and one.voice != two.voice


def _label(stage: str) -> str:
    return next((row.label for row in STAGES.values() if row.name == stage), stage)
