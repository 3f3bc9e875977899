"""Every fact that the engine can state, in the past tense, and its line in the journal."""

import json
import math
import re
import typing
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from engine.contract.typed import FieldError, build

VERSION = 1
DIGITS = 18  # of the longest whole number in a journal: all arithmetic of a reader stays within bounds
OUT_OF_MEMORY = "out of memory"  # the reason of a death
Phase = Literal["sft", "dpo"]
Stage = Literal["before", "start", "sft", "dpo", "reevaluated"]
Health = Literal["ok", "repeating", "empty", "special_tokens"]
Verdict = Literal["passed", "below_threshold", "collapsed", "skipped", "error"]


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the curriculum lists it; counts are rows after the audit."""

    id: str
    title: str
    sft_rows: int
    pairs: int
    questions: int
    unit_title: str = ""
    chapter_title: str = ""


@dataclass(frozen=True, slots=True)
class RunStarted:
    kind: ClassVar[str] = "run_started"
    run: str
    config: str
    seed: int
    pid: int
    versions: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)  # the effective configuration


@dataclass(frozen=True, slots=True)
class Preparing:
    """Something slow before the first topic: fetching, converting, loading. `message` is a sentence."""

    kind: ClassVar[str] = "preparing"
    message: str


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    kind: ClassVar[str] = "model_loaded"
    model: str
    parameters: int
    dtype: str
    device: str
    fingerprint: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CurriculumLoaded:
    kind: ClassVar[str] = "curriculum_loaded"
    topics: tuple[TopicInfo, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Audited:
    """The rows of the run once the model's own renderer has turned them into tokens; tokens are of the SFT rows."""

    kind: ClassVar[str] = "audited"
    rows_read: int
    rows_used: int
    orphans: int
    duplicates: int
    supervised_tokens: int
    total_tokens: int
    longest: int  # tokens, of any row
    cut: int  # rows that do not fit model.max_length


@dataclass(frozen=True, slots=True)
class Predicted:
    """How long the run takes in all, pauses left out: `seconds` with DPO in every topic, `least` with it in none."""

    kind: ClassVar[str] = "predicted"
    seconds: float
    least: float
    basis: str  # what was measured for it


@dataclass(frozen=True, slots=True)
class TopicStarted:
    kind: ClassVar[str] = "topic_started"
    topic: str
    index: int
    of: int
    attempt: int = 1
    model_fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    kind: ClassVar[str] = "phase_started"
    topic: str
    phase: Phase
    steps: int
    rows: int
    supervised_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class AdapterChanged:
    kind: ClassVar[str] = "adapter"
    topic: str
    phase: Phase
    state: Literal["attached", "fused", "kept_attached", "detached", "rolled_back"]
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
    base_unchanged: bool | None = None  # None: not looked at in this state
    check_seconds: float = 0.0  # what the rules took since the adapter event before


@dataclass(frozen=True, slots=True)
class Step:
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


@dataclass(frozen=True, slots=True)
class Sample:
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


@dataclass(frozen=True, slots=True)
class Evaluated:
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
    heldout_margin: float | None = None  # mean DPO margin on held-out pairs, against the model as DPO began
    cut: int = 0  # answers that stopped at the token limit
    questions: int = 0
    model_fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    kind: ClassVar[str] = "decided"
    topic: str
    decision: Literal["run_dpo", "skip_dpo", "roll_back", "keep", "retry"]
    reason: str


@dataclass(frozen=True, slots=True)
class TopicFinished:
    kind: ClassVar[str] = "topic_finished"
    topic: str
    verdict: Verdict
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CommandTaken:
    kind: ClassVar[str] = "command_taken"
    id: str
    command: str
    outcome: Literal["done", "refused"]
    reason: str
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    kind: ClassVar[str] = "paused"
    by: str


@dataclass(frozen=True, slots=True)
class Resumed:
    kind: ClassVar[str] = "resumed"
    by: str


@dataclass(frozen=True, slots=True)
class Checkpointed:
    kind: ClassVar[str] = "checkpointed"
    topic: str
    phase: Phase
    step: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Restored:
    kind: ClassVar[str] = "restored"
    rewind_to: int
    why: str


@dataclass(frozen=True, slots=True)
class Warned:
    kind: ClassVar[str] = "warned"
    key: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An exception or a broken rule; `rule` names the invariant where it was one."""

    kind: ClassVar[str] = "failed"
    where: str
    message: str
    traceback: str
    topic: str | None = None
    phase: Phase | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class EngineDied:
    kind: ClassVar[str] = "engine_died"
    status: int | None
    signal: str | None
    attempt: int  # deaths at the same place
    reason: str = ""  # what is known besides


@dataclass(frozen=True, slots=True)
class EngineRestarted:
    kind: ClassVar[str] = "engine_restarted"
    status: int | None
    signal: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    kind: ClassVar[str] = "run_finished"
    passed: int
    of: int
    exit_status: int
    fingerprint: str
    seconds: float
    predicted_seconds: float | None = None  # at the start, for the phases that ran; None where nothing was
    paused_seconds: float = 0.0
    process_bytes: int | None = None  # the most memory that the engine's process had, of its last start
    checkpoint_seconds: float = 0.0  # of these, writing checkpoints
    check_seconds: float = 0.0  # and looking whether the rules hold


@dataclass(frozen=True, slots=True)
class Unknown:
    """A line that this reader does not understand: of a newer engine, or damaged. It changes nothing."""

    kind: ClassVar[str] = "unknown"
    name: str
    problem: str


Event = (
    RunStarted | Preparing | ModelLoaded | CurriculumLoaded | Audited | Predicted | TopicStarted | PhaseStarted
    | AdapterChanged | Step
    | Sample | Evaluated | Decided | TopicFinished | CommandTaken | Paused | Resumed | Checkpointed | Restored | Warned
    | Failed | EngineDied | EngineRestarted | RunFinished | Unknown
)  # fmt: skip
KINDS: dict[str, Any] = {cls.kind: cls for cls in Event.__args__ if cls is not Unknown}


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the journal: an event with its sequence number and its time (unix seconds)."""

    seq: int
    t: float
    event: Event


def encode(record: Record) -> bytes:
    """One line, UTF-8, with its newline. Numbers that JSON has no word for (NaN) are written as text."""
    data = {item.name: getattr(record.event, item.name) for item in fields(record.event)}
    head = {"v": VERSION, "seq": record.seq, "t": round(record.t, 3), "kind": record.event.kind}
    line = json.dumps(_json(head | data), ensure_ascii=False, allow_nan=False) + "\n"
    return line.encode("utf-8", "backslashreplace")


def decode(line: bytes | str) -> Record:
    """Reads one line. Never raises: what cannot be read becomes Unknown with seq -1 where it has none."""
    if isinstance(line, bytes) and (match := STEP_LINE.fullmatch(line)):
        return _step(match.groups())
    try:
        data = json.loads(line, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        return Record(-1, 0.0, Unknown("", f"not JSON: {error}"))
    if not isinstance(data, dict):
        return Record(-1, 0.0, Unknown("", "not an object"))
    seq, t, kind = data.get("seq"), data.get("t"), data.get("kind")
    seq = seq if isinstance(seq, int) and not isinstance(seq, bool) else -1
    t = float(t) if isinstance(t, int | float) and not isinstance(t, bool) and abs(t) < 1e15 else 0.0
    t = t if math.isfinite(t) else 0.0
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        name = kind[:80] if isinstance(kind, str) else ""
        return Record(seq, t, Unknown(name, "a kind that this reader does not know"))
    try:
        return Record(seq, t, build(cls, data, strict=False))
    except (FieldError, RecursionError) as error:
        return Record(seq, t, Unknown(cls.kind, str(error)))


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) > DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _step_line() -> re.Pattern[bytes]:
    """What encode() writes for a step, and nothing else: any other spelling is read as JSON, to the same result."""
    number = rb"(-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,300})?(?:e[+-]?[0-9]{1,3})?)"
    whole, topic, phase = rb"(0|[1-9][0-9]{0,17})", rb"([a-z0-9_/-]{1,200})", rb"(sft|dpo)"
    kinds = {str: topic, Phase: phase, int: whole, float: number, float | None: b"(?:null|" + number + b")"}
    hints = typing.get_type_hints(Step)
    quoted = {name: b'"%s"' if hints[name] in (str, Phase) else b"%s" for name in STEP_FIELDS}
    parts = [b'"%s": ' % name.encode() + quoted[name] % kinds[hints[name]] for name in STEP_FIELDS]
    head = b'"v": 1, "seq": %s, "t": ((?:0|[1-9][0-9]{0,13})\\.[0-9]{1,3}), "kind": "step"' % whole
    return re.compile(rb"\{" + b", ".join([head, *parts]) + rb"\}")


def _step(found: tuple[Any, ...]) -> Record:
    """A step from the groups of STEP_LINE; nine journal lines of ten are steps, and this is twice as fast as JSON."""
    seq, t, topic, phase, step, of, loss, lr, norm, tokens, supervised, seconds, peak, *dpo = found
    plain = (float(loss), float(lr), float(norm), int(tokens), int(supervised), float(seconds), int(peak))
    rewards = () if dpo == NO_REWARDS else (None if value is None else float(value) for value in dpo)
    return Record(int(seq), float(t), Step(topic.decode(), phase.decode(), int(step), int(of), *plain, *rewards))


STEP_FIELDS = tuple(item.name for item in fields(Step))
STEP_LINE = _step_line()
NO_REWARDS = [None] * 6


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # "nan", "inf", "-inf": a journal must be able to state a loss that is not finite
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, TopicInfo):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    return value
