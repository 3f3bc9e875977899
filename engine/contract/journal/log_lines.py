"""Formats each event as one line for grep, for training.log and `--no-ui`."""

import time

from engine.contract.journal import events as e
from engine.contract.journal.events import Record
from engine.contract.vocabulary import ADAPTER_STATES, FOUNDATION, VERDICTS

TELLING = 8  # most pieces of the voice that a line shows


def line(record: Record) -> str | None:
    """Returns `2026-01-10 09:24:11 INFO text`, or None for an event that only programs need.

    Control characters are replaced by visible ones.
    """
    found = _text(record.event)
    if found is None:
        return None
    level, text = found
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.t))
    return f"{clock} {level} {_printable(text)}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ("⏎" if c == "\n" else "�") for c in text)


def _text(event: e.Event) -> tuple[str, str] | None:
    match event:
        case e.RunStarted():
            return "INFO", f"run {event.run} started pid={event.pid} seed={event.seed} config={event.config}"
        case e.Preparing():
            return "INFO", event.message
        case e.ModelLoaded():
            return "INFO", (
                f"model {event.model} parameters={event.parameters} dtype={event.dtype} device={event.device} "
                f"fingerprint={event.fingerprint} seconds={event.seconds:.1f}"
            )
        case e.CurriculumLoaded():
            count = sum(info.id != FOUNDATION for info in event.topics)
            return "INFO", f"curriculum topics={count} warnings={len(event.warnings)}"
        case e.Audited():
            left = "".join(f" {name}={n}" for name in ("unusable", "not_trained") if (n := getattr(event, name)))
            return "INFO", (
                f"audit rows={event.rows_used}/{event.rows_read} orphans={event.orphans} duplicates={event.duplicates} "
                f"supervised={event.supervised_tokens}/{event.total_tokens} tokens longest={event.longest} "
                f"cut={event.cut}{left}"
            )
        case e.Predicted():
            return "INFO", f"predicted seconds={event.seconds:.0f} least={event.least:.0f} from {event.basis}"
        case e.TopicStarted():
            again = f" attempt={event.attempt}" if event.attempt > 1 else ""
            place = f"topic {event.index}/{event.of}" if event.index else "foundation"
            return "INFO", f"{place} {event.topic}{again} model={event.model_fingerprint}"
        case e.PhaseStarted():
            return "INFO", (
                f"{event.phase} started topic={event.topic} rows={event.rows} steps={event.steps} "
                f"supervised={event.supervised_tokens}/{event.total_tokens} tokens"
                + (f" replayed={event.replayed}" if event.replayed else "")
            )
        case e.AdapterChanged():
            return "INFO", _adapter(event)
        case e.Step():
            return "INFO", _step(event)
        case e.Validated():
            return "INFO", _validated(event)
        case e.StepKept():
            return "INFO", (
                f"kept step={event.step}/{event.of} topic={event.topic} phase={event.phase} planned={event.planned} "
                f"by={event.by} {event.by}={event.value:.4f}"
            )
        case e.Sample():
            return None
        case e.ScorerFitted():
            found = f"scorer own={event.own} others={event.others} separable={str(event.separable).lower()}"
            advice = "" if event.advice is None else f": {event.advice}"
            told = " ".join(event.telling[:TELLING])
            return (
                "INFO" if event.separable else "WARNING",
                f"{found} seconds={event.seconds:.1f} telling={told}{advice}",
            )
        case e.Evaluated():
            return "INFO", _evaluated(event)
        case e.Decided():
            return "INFO", f"decided {event.decision} topic={event.topic}: {event.reason}"
        case e.TopicFinished():
            level = "INFO" if VERDICTS[event.verdict].success else "WARNING"
            return level, f"topic {event.verdict} {event.topic} seconds={event.seconds:.0f}: {event.reason}"
        case e.Examined():
            return "WARNING" if event.forgotten else "INFO", _examined(event)
        case e.CommandTaken():
            what = " ".join(filter(None, (event.command or "command", event.topic)))
            return "INFO", f"{what} {event.outcome} id={event.id}: {event.reason}"
        case e.Paused():
            return "INFO", f"paused by {event.by}"
        case e.Resumed():
            return "INFO", f"resumed by {event.by}"
        case e.Checkpointed():
            size = event.bytes / 1e6
            return "INFO", f"checkpoint topic={event.topic} phase={event.phase} step={event.step} mb={size:.1f}"
        case e.Restored():
            return "WARNING", f"restored: {event.why}"
        case e.Warned():
            again = f" (x{event.count})" if event.count > 1 else ""
            return "WARNING", f"{event.key}: {event.message}{again}"
        case e.Failed():
            rule = f" rule={event.rule}" if event.rule else ""
            return "ERROR", f"failed {event.where}{rule}: {event.message}"
        case e.EngineRestarted(status=None, signal=None):  # a person started it again; no engine had died
            return "INFO", "the run was started again"
        case e.EngineDied() | e.EngineRestarted():
            word = "died" if isinstance(event, e.EngineDied) else "restarted"
            why = f": {event.reason}" if isinstance(event, e.EngineDied) and event.reason else ""
            return "ERROR", f"engine {word} status={event.status} signal={event.signal} attempt={event.attempt}{why}"
        case e.RunFinished():
            level = "INFO" if event.exit_status == 0 else "WARNING"
            return level, (
                f"run finished passed={event.passed}/{event.of} exit={event.exit_status} "
                f"seconds={event.seconds:.0f}{_predicted(event)} checkpoints={event.checkpoint_seconds:.1f} "
                f"checks={event.check_seconds:.1f} fingerprint={event.fingerprint}"
            )
        case _:
            return None


def _examined(event: e.Examined) -> str:
    """Returns each change since the topics' own ends as name=mean, with its interval, and the forgotten topics."""
    text = f"examined topics={event.topics} compared={event.compared} answers={event.answers}"
    for name, (mean, low, high) in event.changes.items():
        text += f" {name}_change={mean:+.3f}"
        text += "" if low is None or high is None else f" {name}_change_interval={low:+.3f}..{high:+.3f}"
    text += f" model={event.fingerprint} forgotten={len(event.forgotten)}"
    return text + (f": {' '.join(event.forgotten)}" if event.forgotten else "")


def _predicted(event: e.RunFinished) -> str:
    """Returns the predicted and the paused seconds; no prediction includes pauses."""
    text = "" if event.predicted_seconds is None else f" predicted={event.predicted_seconds:.0f}"
    return text + (f" paused={event.paused_seconds:.0f}" if event.paused_seconds else "")


def _adapter(event: e.AdapterChanged) -> str:
    base = {None: "", True: " base=unchanged", False: " base=CHANGED"}[event.base_unchanged]
    text = (
        f"adapter {ADAPTER_STATES[event.state].label} phase={event.phase} topic={event.topic} rank={event.rank} "
        f"scale={event.scale:g} modules={event.modules} trainable={event.trainable} "
        f"expected={event.expected_trainable}{base} ledger={event.ledger_depth}"
    )
    if event.delta_norm is not None:
        text += f" norm={event.delta_norm:.4g}"
    if event.fuse_cosine is not None and event.fuse_kl is not None:
        text += f" cosine={event.fuse_cosine:.4f} kl={event.fuse_kl:.1e}"
    return text


def _step(event: e.Step) -> str:
    rate = event.tokens / event.seconds if event.seconds > 0 else 0.0
    text = (
        f"topic {event.topic} {event.phase} step={event.step}/{event.of} loss={event.loss:.4f} lr={event.lr:.1e} "
        f"norm={event.grad_norm:.3g} tok/s={rate:.0f}"
    )
    if event.margin is not None and event.preference_accuracy is not None:
        text += f" margin={event.margin:+.4f} acc={event.preference_accuracy:.2f}"
    return text


def _validated(event: e.Validated) -> str:
    text = f"validated topic={event.topic} phase={event.phase} step={event.step} texts={event.texts}"
    for name in ("loss", "margin", "score"):
        value = getattr(event, name)
        text += "" if value is None else f" {name}={value:.4f}"
    return text + (" best" if event.best else "")


def _learned(event: e.Evaluated) -> str:
    """Returns the parts of the voice as name=number, and each interval as name_interval=low..high."""
    text = f" n={event.questions} loops={event.loops} void={event.void}"
    for name in ("style", "closeness", "relevance"):
        value = getattr(event, name)
        text += "" if value is None else f" {name}={value:.2f}"
    return text + "".join(f" {name}_interval={low:.2f}..{high:.2f}" for name, (low, high) in event.intervals.items())


def _evaluated(event: e.Evaluated) -> str:
    text = (
        f"evaluated topic={event.topic} stage={event.stage} accuracy={event.accuracy:.2f} voice={event.voice:.2f} "
        f"combined={event.combined:.2f} health={event.health}"
    )
    if event.learned:
        text += _learned(event)
    if event.language_loss is not None:
        text += f" language={event.language_loss:.2f}"
    if event.preference_accuracy is not None:
        text += f" preference={event.preference_accuracy:.2f}"
    if event.heldout_margin is not None:
        text += f" margin={event.heldout_margin:+.3f}"
    return text + (f" cut={event.cut}" if event.cut else "")
