"""Language kept: the model's loss of a fixed neutral text, which training in a voice should leave nearly as it was.

Answers may sound right while the model unlearns English. The loss of a text outside the training data shows that early.
"""

from collections.abc import Sequence

from engine.data.batches import collate
from engine.data.templates.chat_template import Example
from engine.model.arrays import number
from engine.training.session import Session

TEXT = """\
The bus was late again on Thursday, so I walked to the library and arrived just before it opened. A woman with \
two children was already waiting at the door. She told me that the heating had been repaired at last, and that \
the reading room upstairs would be warm by noon. I returned three books, paid a small fine for one of them, and \
asked whether the new opening hours had been decided. They had: from next month the building stays open until \
eight on weekdays and closes at four on Saturdays.

On the way home I bought bread, a bag of apples and some washing powder. The shop had moved the vegetables to \
the back, which confused several customers, but the prices had not changed much. My neighbour was outside when I \
came back, cleaning her bicycle. She asked me to look after her plants for a week in June, because her sister is \
getting married in another town. I agreed, as long as she writes down how much water each of them needs.

In the afternoon I answered letters and tried to repair the kitchen drawer. The screw that holds the handle had \
become loose, and the hole was too wide for it. A friend suggested filling it with a matchstick and some glue, \
then waiting until the next day before using it. That worked better than I had expected. After dinner we watched \
the news, talked about the weather for the weekend, and made a list of what to pack. If it does not rain, we \
will take the early train and walk along the river. Otherwise we will stay in town, visit the museum, and have \
lunch somewhere near the station.
"""
LIMIT = 1.5  # times the base model's loss; docs/EXPERIMENTS.md has the measurements behind it


def language_loss(session: Session) -> float:
    """Returns the present model's loss of TEXT, in nats per token, from one forward pass.

    The text is plain, without the chat template. It is cut at model.max_length.
    """
    ids = _cut(session.renderer.text_ids(TEXT), session.renderer.end_ids, session.config.model.max_length)
    example = Example(ids, 1, len(ids) - 1, cut=False)
    return -number(session.scorer.logps(collate([example], session.renderer.end_id)).mean())


def _cut(ids: Sequence[int], ends: frozenset[int], limit: int) -> tuple[int, ...]:
    """Returns the ids without an end token, which some tokenizers add."""
    return tuple(token for token in ids if token not in ends)[:limit]


def warning(where: str, loss: float, earlier: float | None, base: float | None) -> str | None:
    """Returns a sentence if the loss has risen above LIMIT times the base model's since the `earlier` measurement.

    Returns None if it has not, if it had before, or if the base model's loss is unknown.
    """
    if base is None or not _lost(loss, base) or (earlier is not None and _lost(earlier, base)):
        return None
    return (
        f"{where}: the model is losing its language: its loss of a neutral text is {loss:.2f} nats a token, and the "
        f"base model's {base:.2f}; more than {LIMIT:g} times that is too much"
    )


def _lost(loss: float, base: float) -> bool:
    return not loss <= LIMIT * base  # written so that a NaN counts as lost
