"""The events that the engine can write to a journal, named in the past tense.

codec.py turns each into a line of the journal.
"""

from typing import Any, ClassVar, Literal

from msgspec import Struct, field

from engine.contract.vocabulary import KEPT as KEPT  # "as" marks names that other modules may import from here
from engine.contract.vocabulary import SETTLED as SETTLED
from engine.contract.vocabulary import AdapterState as AdapterState
from engine.contract.vocabulary import Health as Health
from engine.contract.vocabulary import Phase as Phase
from engine.contract.vocabulary import Stage as Stage
from engine.contract.vocabulary import Verdict as Verdict

OUT_OF_MEMORY = "out of memory"  # the `reason` of an EngineDied


class TopicInfo(Struct, frozen=True):
    """A topic as the curriculum lists it; counts are rows after the audit."""

    id: str
    title: str
    sft_rows: int
    pairs: int
    questions: int
    unit_title: str = ""
    chapter_title: str = ""


class RunStarted(Struct, frozen=True):
    kind: ClassVar[str] = "run_started"
    run: str
    config: str
    seed: int
    pid: int
    versions: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)  # the effective configuration


class Preparing(Struct, frozen=True):
    """Slow work before the first topic: fetching, converting, loading. `message` is a sentence.

    `progress` marks a message about how far the work has come; it replaces the message before it.
    """

    kind: ClassVar[str] = "preparing"
    message: str
    progress: bool = False


class ModelLoaded(Struct, frozen=True):
    kind: ClassVar[str] = "model_loaded"
    model: str
    parameters: int
    dtype: str
    device: str
    fingerprint: str
    seconds: float
    revision: str = ""  # the commit of a Hugging Face repository


class CurriculumLoaded(Struct, frozen=True):
    kind: ClassVar[str] = "curriculum_loaded"
    topics: tuple[TopicInfo, ...]
    warnings: tuple[str, ...]
    rows: dict[str, str] = field(default_factory=dict)  # topic -> digest of its rows, in the order of the course


class Audited(Struct, frozen=True):
    """The run's rows after the model's own renderer turned them into tokens; token counts are of the SFT rows."""

    kind: ClassVar[str] = "audited"
    rows_read: int
    rows_used: int
    orphans: int
    duplicates: int
    supervised_tokens: int
    total_tokens: int
    longest: int  # tokens of the longest row of any kind
    cut: int  # rows that do not fit model.max_length
    rendered: str = ""  # digest of the tokens that rows and questions are rendered to
    unusable: int = 0  # rows that were left out, since curriculum.bad_rows is `report`
    not_trained: int = 0  # rows that say of themselves that they are not to be trained on


class Predicted(Struct, frozen=True):
    """The predicted length of the whole run without pauses: `seconds` with DPO in every topic, `least` with none."""

    kind: ClassVar[str] = "predicted"
    seconds: float
    least: float
    basis: str  # what was measured for the prediction


class TopicStarted(Struct, frozen=True):
    kind: ClassVar[str] = "topic_started"
    topic: str
    index: int
    of: int
    attempt: int = 1
    model_fingerprint: str = ""


class PhaseStarted(Struct, frozen=True):
    kind: ClassVar[str] = "phase_started"
    topic: str
    phase: Phase
    steps: int
    rows: int
    supervised_tokens: int
    total_tokens: int
    replayed: int = 0  # of `rows`, those of earlier topics


class AdapterChanged(Struct, frozen=True):
    kind: ClassVar[str] = "adapter"
    topic: str
    phase: Phase
    state: AdapterState
    rank: int
    scale: float
    modules: int
    trainable: int
    expected_trainable: int
    total: int
    base_fingerprint: str
    model_fingerprint: str
    ledger_depth: int
    delta_norm: float | None = None
    fuse_cosine: float | None = None
    fuse_kl: float | None = None
    module_names: tuple[str, ...] = ()
    layers: int = 0
    base_unchanged: bool | None = None  # None: not checked in this state
    check_seconds: float = 0.0  # time spent on rule checks since the previous adapter event
    fuse_kl_limit: float | None = None  # adapters.max_fuse_kl, or more if rounding alone causes more
    set_aside: str = ""  # of a rolled-back adapter: its folder's name in rolled-back/
    digest: str = ""  # of a rolled-back adapter that was set aside: one hash over its arrays


class Step(Struct, frozen=True):
    """One optimizer step; loss in nats per supervised token (SFT) or per pair (DPO)."""

    kind: ClassVar[str] = "step"
    topic: str
    phase: Phase
    step: int
    of: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    supervised_tokens: int
    seconds: float
    peak_bytes: int
    margin: float | None = None
    preference_accuracy: float | None = None
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    chosen_logp: float | None = None
    rejected_logp: float | None = None


class Validated(Struct, frozen=True):
    """Held-out texts, measured after an optimizer step; `loss` in nats per token (SFT) or per pair (DPO).

    `score` is the mean score of the `answers` to a few held-out questions. `best` tells whether the phase had no better
    measurement before, by its setting `keep`. A number is None if it was not measured or is not finite.
    """

    kind: ClassVar[str] = "validated"
    topic: str
    phase: Phase
    step: int
    loss: float | None
    score: float | None
    best: bool
    seconds: float
    texts: int = 0  # held-out texts or pairs behind `loss`
    margin: float | None = None  # DPO: mean reward margin of the held-out pairs
    answers: tuple[str, ...] = ()


class StepKept(Struct, frozen=True):
    """The step whose adapter a phase keeps, because its setting `keep` is not `last`; `of` steps were done."""

    kind: ClassVar[str] = "step_kept"
    topic: str
    phase: Phase
    step: int
    of: int
    planned: int
    by: Literal["loss", "score"]
    value: float


class Sample(Struct, frozen=True):
    kind: ClassVar[str] = "sample"
    topic: str
    stage: Stage
    question: str
    reference: str
    answer: str
    tokens: int
    stop: Literal["eos", "length"]
    markers: tuple[str, ...]
    violations: tuple[str, ...]
    scores: dict[str, float | None]
    health: Health = "ok"
    quotes: dict[str, str] = field(default_factory=dict)  # a distinction among the violations -> what the answer said
    reason: str | None = None  # why the voice is 0 or reduced, if style is not the only cause
    void: str | None = None  # why the answer is void: a copy, an echo, cut off, ...
    clauses: tuple[tuple[str, float], ...] = ()  # each clause with the probability that the person wrote it
    telling: tuple[str, ...] = ()  # the pieces of the answer that show the voice most


class Evaluated(Struct, frozen=True):
    kind: ClassVar[str] = "evaluated"
    topic: str
    stage: Stage
    accuracy: float
    voice: float
    combined: float
    components: dict[str, float]
    preference_accuracy: float | None  # None: the topic has no held-out pair
    health: Health
    seconds: float
    concepts: float | None = None  # share of the listed concepts that the answers name
    heldout_margin: float | None = None  # mean DPO margin on held-out pairs, relative to the model before DPO
    cut: int = 0  # answers that stopped at the token limit
    questions: int = 0
    model_fingerprint: str = ""
    heldout_gap: float | None = None  # mean log-probability of chosen minus rejected on held-out pairs, nats
    style: float | None = None  # mean over the answers, from 0 to 1; None if the engine has no learned style
    closeness: float | None = None  # to the references' subject: 0 says no more than the question, 1 is a paraphrase
    relevance: float | None = None  # nats per token: log-probability given the question minus given a neutral prompt
    loops: int = 0  # answers that repeat themselves
    void: int = 0  # answers that are void: a copy, an echo, cut off, ...
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # a mean's name -> its 90 % interval
    heldout_gaps: tuple[float, ...] = ()  # one per held-out pair, nats
    heldout_pairs: int = 0  # pairs behind `preference_accuracy`; 0 if the engine did not record it
    language_loss: float | None = None  # of the fixed neutral text, nats per token; the same for all topics of a batch

    @property
    def learned(self) -> bool:
        """Tells whether an engine with the learned style scored it. Only then are loops, void and intervals set."""
        return self.style is not None


class ScorerFitted(Struct, frozen=True):
    """The fit of the style score; `separable` says whether its texts tell the voice from others at all."""

    kind: ClassVar[str] = "scorer_fitted"
    own: int  # texts in the voice
    others: int  # rejected answers and the base model's answers
    separable: bool
    advice: str | None  # what would help if the texts are not separable
    telling: tuple[str, ...]  # the most telling pieces of the voice
    seconds: float


class Decided(Struct, frozen=True):
    kind: ClassVar[str] = "decided"
    topic: str
    decision: Literal["run_dpo", "skip_dpo", "roll_back", "keep", "retry"]
    reason: str


class TopicFinished(Struct, frozen=True):
    kind: ClassVar[str] = "topic_finished"
    topic: str
    verdict: Verdict
    reason: str
    seconds: float
    kept: Phase | None = None  # the rolled-back phase that a person kept; `seconds` are then those of keeping it


class Examined(Struct, frozen=True):
    """The end of the final exam: what the final model still has of each topic, compared with the topic's own end.

    `changes` maps a score to its mean change with the ends of the 90 % interval, over all `answers` of the `compared`
    topics (those in the model), paired by question; the ends are null if no spread is known. `forgotten` lists the
    topics that had not failed and that the exam decides to be below a threshold or collapsed.
    """

    kind: ClassVar[str] = "examined"
    topics: int
    answers: int
    compared: int
    changes: dict[str, tuple[float, float | None, float | None]]
    forgotten: tuple[str, ...]
    fingerprint: str


class CommandTaken(Struct, frozen=True):
    kind: ClassVar[str] = "command_taken"
    id: str
    command: str
    outcome: Literal["done", "refused"]
    reason: str
    topic: str | None = None
    phase: Phase | None = None  # of keep: the rolled-back phase that is kept


class Paused(Struct, frozen=True):
    kind: ClassVar[str] = "paused"
    by: str


class Resumed(Struct, frozen=True):
    kind: ClassVar[str] = "resumed"
    by: str


class Checkpointed(Struct, frozen=True):
    kind: ClassVar[str] = "checkpointed"
    topic: str
    phase: Phase
    step: int
    seconds: float
    bytes: int


class Restored(Struct, frozen=True):
    kind: ClassVar[str] = "restored"
    rewind_to: int
    why: str


class Warned(Struct, frozen=True):
    kind: ClassVar[str] = "warned"
    key: str
    message: str
    count: int


class Failed(Struct, frozen=True):
    """An exception or a broken rule; `rule` names the rule if one broke."""

    kind: ClassVar[str] = "failed"
    where: str
    message: str
    traceback: str
    topic: str | None = None
    phase: Phase | None = None
    rule: str | None = None


class RulesChecked(Struct, frozen=True):
    """The rule checks since the previous event of this kind: how often each rule held and was broken.

    `numbers` maps a rule that measures to its last number and the upper limit, if there is one. The first event of an
    engine process has every rule's sentence in `texts`.
    """

    kind: ClassVar[str] = "rules"
    held: dict[str, int]
    broken: dict[str, int]
    numbers: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    topic: str | None = None  # the topic that was checked; None if no topic was at work
    phase: Phase | None = None
    texts: dict[str, str] = field(default_factory=dict)


class EngineDied(Struct, frozen=True):
    kind: ClassVar[str] = "engine_died"
    status: int | None
    signal: str | None
    attempt: int  # deaths at the same place
    reason: str = ""  # what else is known


class EngineRestarted(Struct, frozen=True):
    kind: ClassVar[str] = "engine_restarted"
    status: int | None
    signal: str | None
    attempt: int
    settings: dict[str, Any] = field(default_factory=dict)  # the effective configuration from here on


class RunFinished(Struct, frozen=True):
    kind: ClassVar[str] = "run_finished"
    passed: int
    of: int
    exit_status: int
    fingerprint: str
    seconds: float
    predicted_seconds: float | None = None  # at the start, for the phases that ran; None if there was no prediction
    paused_seconds: float = 0.0
    process_bytes: int | None = None  # peak memory of the engine's process since its last start
    checkpoint_seconds: float = 0.0  # part of `seconds`: writing checkpoints
    check_seconds: float = 0.0  # part of `seconds`: checking rules


class Unknown(Struct, frozen=True):
    """A line that this reader does not understand: written by a newer engine, or `damaged`. It changes nothing."""

    kind: ClassVar[str] = "unknown"
    name: str
    problem: str
    damaged: bool = False


class Void(Struct, frozen=True):
    """An event that a restart made void, as `live_records` yields it: its time was spent, and it happens again."""

    kind: ClassVar[str] = "void"
    event: Step | Decided


Event = (
    RunStarted | Preparing | ModelLoaded | CurriculumLoaded | Audited | Predicted | TopicStarted | PhaseStarted
    | AdapterChanged | Step | Validated | StepKept | Sample | ScorerFitted | Evaluated | Decided | TopicFinished
    | Examined | CommandTaken | Paused | Resumed | Checkpointed | Restored | Warned | Failed | RulesChecked | EngineDied
    | EngineRestarted | RunFinished | Unknown | Void
)  # fmt: skip
KINDS: dict[str, Any] = {cls.kind: cls for cls in Event.__args__ if cls not in (Unknown, Void)}


class Record(Struct, frozen=True):
    """A line of the journal: an event with its sequence number and its time (unix seconds)."""

    seq: int
    t: float
    event: Event
