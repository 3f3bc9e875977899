"""Loads a run's configuration from YAML into a frozen RunConfig; every key is typed and bounded."""

import dataclasses
import difflib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from engine.contract.errors import InputError
from engine.contract.schema import FieldError, build, number
from engine.contract.settings import legacy_keys, mlx_lm_keys
from engine.contract.settings.row_files import row_kind
from engine.contract.settings.yaml_file import Loader, mapping, read_text
from engine.contract.vocabulary import PHASES
from engine.contract.wording import nearest, short

Strategy = Literal["fuse_between", "shared", "sft_only"]
ATTENTION = ("q_proj", "v_proj", "o_proj")
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LEAST_RATE = 1e-12  # smallest learning rate; at 0 a phase would break the rule steps-as-planned
PENALIZED = 64  # last tokens, of prompt and answer, whose repetition is penalized; llama.cpp's default, too
PATIENCE = 300.0  # seconds that a step, a commit or a prompt may take
MOST_LINES = 10_000  # most keys with a noted line number
ROLES = ("sft", "preferences", "quiz")  # kinds of rows
FIELDS = (  # that a row can have; its topic is not one of them
    "messages conversations conversation system prompt completion response instruction input context history output "
    "question query answer text chosen rejected heldout reference concepts label kto_tag weight train"
).split()


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The base model: an embedded name, a local folder or a Hugging Face id."""

    name: str = "smollm2-135m-instruct"  # embedded, a folder, or an id on the hub; see docs/MODELS.md
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU
    chat_template: str = ""  # in place of the tokenizer's: chatml, llama-3, gemma, plain, or a file
    eos_token: str = ""  # a token that ends an answer, if the tokenizer has another
    max_length: int = number(1024, 16, 1 << 20)  # tokens of a training row; a longer one is cut, and reported


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where the rows of one kind come from: a file, a dataset folder or a Hugging Face dataset; see docs/DATA.md."""

    path: str  # a file of rows such as train.jsonl; a dataset folder, which begins with . ~ or /; or an id on the hub
    split: str = "train"  # of a dataset
    subset: str = ""  # of a dataset that has several, by its name on the hub
    revision: str = ""  # of a hub dataset: a commit, so that it is the same rows tomorrow
    columns: dict[str, str] = field(default_factory=dict)  # field of a row -> column of the data; then no others count
    topic_column: str = ""  # the column that says the topic; `topic` where it is empty


Sources = SourceConfig | str | tuple[SourceConfig | str, ...]


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """Where the topics are, and how much is held out where the rows do not say so themselves."""

    path: str  # a folder with voice.yaml, curriculum.yaml and the rows, where they are not named below
    topics: tuple[str, ...] = ()  # the topics to train, by id, its last part or title, or whole units; empty is all
    heldout_share: float = number(0.25, 0.0, 0.9)  # of a topic's pairs
    quiz_share: float = number(0.0, 0.0, 0.9)  # of the training rows of a topic that has no quiz
    bad_rows: Literal["refuse", "report"] = "refuse"  # rows that cannot be used: refuse the run, or leave them out
    system: Literal["keep", "into_question", "drop"] = "keep"  # system messages: as such, before the question, or not
    sft: Sources = ""  # a source or a list of them; empty: sft.jsonl, sft.parquet or sft_data.jsonl in path
    preferences: Sources = ""  # likewise preferences.jsonl, …; pairs of answers
    quiz: Sources = ""  # likewise quiz.jsonl, …; held-out questions


@dataclass(frozen=True, slots=True)
class SupervisedConfig:
    """What the supervised phase of a topic and the foundation have in common."""

    answers: Literal["every", "last"] = "every"  # of a conversation: the answers that are trained on
    rank: int = number(8, 1, 1024)  # of the LoRA adapter
    alpha: float = number(16.0, 0.001)  # scale = alpha / rank
    modules: tuple[str, ...] = ATTENTION  # linear modules that are adapted, by the last word of their names
    layers: int = number(0, 0, 10_000)  # the last N layers; 0 is all of them
    epochs: int = number(3, 1, 100_000)  # times that every row is seen
    batch: int = number(4, 1, 4096)  # rows of a micro-batch
    accumulation: int = number(1, 1, 4096)  # micro-batches of an optimizer step
    learning_rate: float = number(3e-4, LEAST_RATE, 1000.0)  # after the warm-up; it then falls to 0 as a cosine
    warmup: float = number(0.1, 0.0, 1.0)  # share of the steps
    clip: float = number(1.0, 0.0)  # largest gradient norm; 0 does not clip
    weight_decay: float = number(0.0, 0.0, 1.0)  # of AdamW


@dataclass(frozen=True, slots=True)
class SftConfig(SupervisedConfig):
    """The supervised phase of a topic."""

    replay: float = number(0.0, 0.0, 1.0)  # rows of earlier topics mixed into a phase, as a share of its own rows


@dataclass(frozen=True, slots=True)
class FoundationConfig(SupervisedConfig):
    """A first supervised phase over the rows of all topics together, before the topics one by one."""

    topics: tuple[str, ...] = ()  # whose rows it is trained on, by id or part of an id; empty: those of the run
    rank: int = number(32, 1, 1024)
    alpha: float = number(64.0, 0.001)
    modules: tuple[str, ...] = ALL_LINEAR
    epochs: int = number(4, 0, 100_000)  # times that every row is seen; 0 is no foundation
    learning_rate: float = number(5e-4, LEAST_RATE, 1000.0)


@dataclass(frozen=True, slots=True)
class DpoConfig:
    """The preference phase of a topic."""

    when: Literal["gated", "always", "never"] = "gated"  # gated: by thresholds.accuracy and thresholds.dpo_trigger
    rank: int = number(1, 1, 1024)
    alpha: float = number(1.0, 0.001)
    modules: tuple[str, ...] = ("o_proj", "v_proj", "up_proj", "down_proj")
    layers: int = number(0, 0, 10_000)
    steps: int = number(100, 1, 1_000_000)  # optimizer steps
    batch: int = number(2, 1, 4096)  # pairs of a micro-batch
    accumulation: int = number(1, 1, 4096)
    learning_rate: float = number(5e-5, LEAST_RATE, 1000.0)
    warmup: float = number(0.1, 0.0, 1.0)
    clip: float = number(1.0, 0.0)
    weight_decay: float = number(0.0, 0.0, 1.0)
    beta: float = number(0.1, 0.0001, 100.0)  # of the DPO loss: a reward is beta times the log-ratio to the reference
    give_up_after: int = number(3, 0)  # topics in a row that rolled DPO back before it is left out; 0 is never


@dataclass(frozen=True, slots=True)
class AdaptersConfig:
    """How the phases stand on one another, and how well a fuse has to survive rounding."""

    strategy: Strategy = "fuse_between"  # fuse SFT and begin DPO afresh, go on with SFT's adapter, or no DPO
    min_fuse_cosine: float = number(0.99, 0.0, 1.0)  # of the intended and the applied change; below: kept beside
    max_fuse_kl: float = number(1e-3, 0.0)  # nats a token; above: kept beside. In bfloat16 at least 1e-2: rounding


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """The held-out questions are answered greedily, in batches. Chat and exports answer in the same way."""

    max_tokens: int = number(160, 1, 8192)  # of an answer
    batch: int = number(32, 1, 4096)  # answers that are generated side by side
    repetition_penalty: float = number(1.0, 1.0, 2.0)  # of a token among the last 64; 1 is none


@dataclass(frozen=True, slots=True)
class ThresholdsConfig:
    """What a topic has to reach, and what counts as worse."""

    voice: float = number(0.5, 0.0, 1.0)  # to pass: 0 is text that is not in the voice, 1 the weakest references
    closeness: float = number(0.0, 0.0, 1.0)  # to pass: 0 asks for nothing, since a good answer may say something else
    accuracy: float = number(0.0, 0.0, 1.0)  # cosine with the reference, to pass and for a gated DPO; 0 asks nothing
    dpo_trigger: float = number(0.75, 0.0, 1.0)  # a gated DPO runs where voice is below this after SFT
    worse: float = number(0.10, 0.0, 1.0)  # a phase after which answers are worse by more than this is rolled back
    unreachable: Literal["error", "warn"] = "error"  # what to do about a gate that the references themselves fail


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The run as a whole."""

    name: str = ""  # how the run is called on the screen; the configuration's file name where it is empty
    seed: int = number(0, 0, 2**32 - 1)  # of adapters and of the order of rows
    retries: int = number(0, 0, 10)  # how often a topic that did not pass is trained again, on its own
    checkpoint_every: int = number(20, 1)  # optimizer steps
    pause_on: tuple[Literal["collapsed", "failed"], ...] = ()  # after a topic with such a phase, until a person resumes
    hang_after: float = number(1800.0, 0.0)  # seconds without a sign of life, 300 at least; 0 waits for ever


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All settings of a run. `curriculum.path` is absolute once loaded."""

    curriculum: CurriculumConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    foundation: FoundationConfig = field(default_factory=FoundationConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    dpo: DpoConfig = field(default_factory=DpoConfig)
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    thresholds: ThresholdsConfig = field(default_factory=ThresholdsConfig)
    run: RunSettings = field(default_factory=RunSettings)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> RunConfig:
    """Reads a configuration and applies `a.b=VALUE` overrides; raises InputError with file, line and field."""
    data, lines = _read(path)
    for text in overrides:
        _override(data, text)
    try:
        config: RunConfig = build(RunConfig, data)
        config = dataclasses.replace(config, curriculum=_from_here(path.parent, config.curriculum))
        if config.model.name.startswith((".", "~", "/")):
            local = _local("model.name", path.parent, config.model.name)
            config = dataclasses.replace(config, model=dataclasses.replace(config.model, name=local))
        if (template := config.model.chat_template) and (template.startswith((".", "~", "/")) or "." in template):
            local = _local("model.chat_template", path.parent, template)
            config = dataclasses.replace(config, model=dataclasses.replace(config.model, chat_template=local))
        _modules(config)
        _patience(config)
    except FieldError as error:
        if theirs := mlx_lm_keys.explain(data, lines):
            raise InputError(_refer(path, "a configuration of mlx-lm; its keys are called here", theirs)) from error
        if old := legacy_keys.explain(data, keys(), lines):
            head = "the configuration has keys of another program; docs/DATA.md says more"
            raise InputError(_refer(path, head, old)) from error
        raise InputError(_explain(path, lines, overrides, error)) from error
    if not config.run.name:
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, name=path.stem))
    return config


def _from_here(folder: Path, settings: CurriculumConfig) -> CurriculumConfig:
    """Makes paths absolute, relative to the configuration's folder; expands a source that is only a path.

    Raises FieldError if a column maps to an unknown field of a row, or if a part of a file is asked for.
    """
    found: dict[str, Any] = {"path": _local("curriculum.path", folder, settings.path)}
    for role in ROLES:
        named = getattr(settings, role)
        if isinstance(named, tuple):
            found[role] = tuple(_source(f"curriculum.{role}[{i}]", folder, one) for i, one in enumerate(named))
        elif named:
            found[role] = _source(f"curriculum.{role}", folder, named)
    return dataclasses.replace(settings, **found)


def _source(field: str, folder: Path, named: SourceConfig | str) -> SourceConfig:
    source = SourceConfig(named) if isinstance(named, str) else named
    is_file = bool(row_kind(source.path)) or _is_file(folder / source.path)
    if source.path.startswith((".", "~", "/")) or is_file:
        source = dataclasses.replace(source, path=_local(field, folder, source.path))
    if row_kind(source.path):
        _require_whole_file(field, source)
    if unknown := [name for name in source.columns if name not in FIELDS]:
        problem = f"{short(unknown[0])} is no field of a row{nearest(unknown[0], FIELDS)}"
        raise FieldError(f"{field}.columns", problem)
    return source


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or a NUL in it
        return False


def _local(field: str, folder: Path, path: str) -> str:
    """Returns a path, relative to `folder`, as an absolute path; raises FieldError if it is not a valid path."""
    try:
        return str((folder / Path(path).expanduser()).resolve())
    except (RuntimeError, ValueError) as error:  # an unknown ~user, a NUL, half a character
        raise FieldError(field, f"found {short(path)}, which is no path: {error}") from error


def _require_whole_file(role: str, source: SourceConfig) -> None:
    """Raises FieldError if a part of a file is asked for; a file is always read whole."""
    for name, whole in (("split", "train"), ("subset", ""), ("revision", "")):
        if (found := getattr(source, name)) != whole:
            problem = f"found {short(found)}, but a file is read whole; only a folder or a hub id has a {name}"
            raise FieldError(f"{role}.{name}", problem)


def keys() -> frozenset[str]:
    """Returns every known key as `section.key`."""
    sections = typing.get_type_hints(RunConfig)
    return frozenset(f"{name}.{field.name}" for name, cls in sections.items() for field in dataclasses.fields(cls))


def dump_config(config: RunConfig) -> str:
    """Returns the effective configuration as YAML with every default; load_config reads it back equal."""
    text: str = yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise InputError(f"{path}: no such configuration file{hint}") from error
    data = mapping(path, text, "a mapping with at least curriculum.path")
    lines: dict[str, int] = {}
    try:
        _lines(yaml.compose(text, Loader), "", lines)
    except RecursionError as error:
        raise InputError(f"{path}: cannot be read: nested too deep") from error
    return data, lines


def _lines(node: yaml.Node | None, prefix: str, lines: dict[str, int]) -> None:
    """Notes the line of every key."""
    if not isinstance(node, yaml.MappingNode) or prefix.count(".") > legacy_keys.DEPTH or len(lines) > MOST_LINES:
        return  # `build` refuses deeper and endless ones
    for key, value in node.value:
        name = f"{prefix}.{key.value}" if prefix else str(key.value)
        lines[name] = key.start_mark.line + 1
        _lines(value, name, lines)


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text}: expected section.key=VALUE, for example dpo.rank=4")
    *sections, last = key.strip().split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise InputError(f"--set {text}: {section} is not a section")
    try:
        data[last] = yaml.load(value, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"--set {text}: {short(value)} is not a YAML value") from error


def _refer(path: Path, head: str, sentences: list[str]) -> str:
    if len(sentences) == 1:
        return f"{path}: {sentences[0]}"
    return f"{path}: {head}:\n  " + "\n  ".join(sentences)


def _explain(path: Path, lines: dict[str, int], overrides: tuple[str, ...], error: FieldError) -> str:
    where = error.field.split("[")[0]
    for text in reversed(overrides):
        key = text.partition("=")[0].strip()
        if key == where or (key.startswith(f"{where}.") and where not in lines):
            return f"--set {text}: {error.problem if key == where else error}"
    while where and where not in lines:
        where = where.rpartition(".")[0]
    return f"{path}:{lines[where]}: {error}" if where else f"{path}: {error}"


def _patience(config: RunConfig) -> None:
    """Raises FieldError if run.hang_after is so short that a working engine would count as hung."""
    if 0 < config.run.hang_after < PATIENCE:
        raise FieldError("run.hang_after", f"found {config.run.hang_after:g}, expected {PATIENCE:g} at least, or 0")


def _modules(config: RunConfig) -> None:
    """Raises FieldError if a phase names no module, or the same one twice."""
    for name, phase in adapter_settings(config).items():
        if not phase.modules or len(set(phase.modules)) != len(phase.modules):
            raise FieldError(f"{name}.modules", f"found {list(phase.modules)}, expected distinct module names")


def adapter_settings(config: RunConfig) -> dict[str, SupervisedConfig | DpoConfig]:
    """Returns the settings of each kind of adapter that a run trains, by the name of its section."""
    found: dict[str, SupervisedConfig | DpoConfig] = (
        {"foundation": config.foundation} if config.foundation.epochs else {}
    )
    return found | {phase: getattr(config, phase) for phase in PHASES}


def may_prefer(config: RunConfig) -> bool:
    """Tells whether this configuration can ever run DPO."""
    return config.adapters.strategy != "sft_only" and config.dpo.when != "never"
