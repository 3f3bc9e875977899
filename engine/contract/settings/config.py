"""The settings of a run: every key with its type, its bounds and what it means."""

from dataclasses import dataclass, field
from typing import Literal

from engine.contract.schema import number
from engine.contract.settings.judge import JudgeConfig
from engine.contract.settings.notify import NotifyConfig
from engine.contract.vocabulary import PHASES

Strategy = Literal["fuse_between", "shared", "sft_only"]
Keep = Literal["last", "loss", "score"]
ATTENTION = ("q_proj", "v_proj", "o_proj")
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LEAST_RATE = 1e-12  # smallest learning rate; at 0 a phase would break the rule steps-as-planned
PENALIZED = 64  # last tokens, of prompt and answer, whose repetition is penalized; llama.cpp's default, too


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The base model: an embedded name, a local folder or a Hugging Face id."""

    name: str = "smollm2-135m-instruct"  # an embedded model, a folder, or an id on the hub; see docs/MODELS.md
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU
    chat_template: str = ""  # replaces the tokenizer's: chatml, llama-3, gemma, plain, or a file
    eos_token: str = ""  # the token that ends an answer, if the tokenizer names another
    max_length: int = number(1024, 16, 1 << 20)  # tokens of a training row; a longer row is cut and reported


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where the rows of one kind come from: a file, a dataset folder or a Hugging Face dataset; see docs/DATA.md."""

    path: str  # a file of rows such as train.jsonl; a dataset folder, which begins with . ~ or /; or an id on the hub
    split: str = "train"  # of a dataset
    subset: str = ""  # one of several parts of a dataset, by its name on the hub
    revision: str = ""  # commit of a hub dataset; it keeps the rows the same tomorrow
    columns: dict[str, str] = field(default_factory=dict)  # row field -> data column; if set, no other is read
    topic_column: str = ""  # the column with the topic; if empty, `topic`


Sources = SourceConfig | str | tuple[SourceConfig | str, ...]


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """Where the topics are, and how much is held out if the rows do not mark it."""

    path: str  # folder of voice.yaml and curriculum.yaml, and of the rows if none are named below
    topics: tuple[str, ...] = ()  # to train: ids, last parts of ids, titles or whole units; if empty, all
    heldout_share: float = number(0.25, 0.0, 0.9)  # share of a topic's pairs that is held out
    quiz_share: float = number(0.0, 0.0, 0.9)  # share of a topic's training rows that is held out if it has no quiz
    bad_rows: Literal["refuse", "report"] = "refuse"  # unusable rows: refuse the run, or leave them out and list them
    system: Literal["keep", "into_question", "drop"] = "keep"  # system messages; see docs/DATA.md
    sft: Sources = ""  # a source or a list; if empty: sft.jsonl, sft.parquet or sft_data.jsonl in path
    preferences: Sources = ""  # pairs of answers; if empty: preferences.jsonl, …
    quiz: Sources = ""  # held-out questions; if empty: quiz.jsonl, …


@dataclass(frozen=True, slots=True)
class SupervisedConfig:
    """What the supervised phase of a topic and the foundation have in common."""

    answers: Literal["every", "last"] = "every"  # which answers of a conversation are trained on
    rank: int = number(8, 1, 1024)  # of the LoRA adapter
    alpha: float = number(16.0, 0.001)  # scale = alpha / rank
    modules: tuple[str, ...] = ATTENTION  # linear modules to adapt, by the last part of their names
    layers: int = number(0, 0, 10_000)  # the last N layers; 0 is all
    epochs: int = number(3, 1, 100_000)  # passes over the rows
    batch: int = number(4, 1, 4096)  # rows of a micro-batch
    accumulation: int = number(1, 1, 4096)  # micro-batches of an optimizer step
    learning_rate: float = number(3e-4, LEAST_RATE, 1000.0)  # after the warm-up; falls to 0 as a cosine
    warmup: float = number(0.1, 0.0, 1.0)  # share of the steps
    clip: float = number(1.0, 0.0)  # largest gradient norm; 0 does not clip
    weight_decay: float = number(0.0, 0.0, 1.0)  # of AdamW
    validate_every: int = number(10, 0)  # optimizer steps between two measurements of the held-out loss; 0 is never
    score_every: int = number(0, 0)  # optimizer steps between two tests that score a few held-out answers; 0 is never
    keep: Keep = "last"  # the step whose adapter is kept: the last, of the lowest held-out loss, or of the best score
    patience: int = number(0, 0)  # end the phase after so many measurements in a row without a better one; 0 is never


@dataclass(frozen=True, slots=True)
class SftConfig(SupervisedConfig):
    """The supervised phase of a topic."""

    replay: float = number(0.0, 0.0, 1.0)  # rows of earlier topics to mix in, as a share of the phase's own rows


@dataclass(frozen=True, slots=True)
class FoundationConfig(SupervisedConfig):
    """A first supervised phase over the rows of all topics together, before the topics one by one."""

    topics: tuple[str, ...] = ()  # topics to take rows from, by id or part of an id; if empty, those of the run
    rank: int = number(32, 1, 1024)
    alpha: float = number(64.0, 0.001)
    modules: tuple[str, ...] = ALL_LINEAR
    epochs: int = number(4, 0, 100_000)  # passes over the rows; 0 is no foundation
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
    validate_every: int = number(10, 0)  # optimizer steps between two measurements of held-out pairs; 0 is never
    score_every: int = number(0, 0)  # as for sft
    keep: Keep = "last"  # as for sft; the loss is that of held-out pairs
    patience: int = number(0, 0)
    beta: float = number(0.1, 0.0001, 100.0)  # of the DPO loss: a reward is beta times the log-ratio to the reference
    give_up_after: int = number(3, 0)  # skip DPO after so many topics in a row rolled it back; 0 is never


@dataclass(frozen=True, slots=True)
class AdaptersConfig:
    """How the phases follow each other, and how exact a fuse must be; without a fuse, the change stays in float32."""

    strategy: Strategy = "fuse_between"  # DPO trains a new adapter, SFT's own, or none
    min_fuse_cosine: float = number(0.99, 0.0, 1.0)  # intended against applied change; below it, no fuse
    max_fuse_kl: float = number(1e-3, 0.0)  # nats a token; above it, no fuse. In bfloat16 at least 1e-2: rounding


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How held-out questions are answered: greedily, in batches. Chat and exports use the same settings."""

    max_tokens: int = number(160, 1, 8192)  # of an answer
    batch: int = number(32, 1, 4096)  # answers that are generated together
    repetition_penalty: float = number(1.0, 1.0, 2.0)  # on the last 64 tokens; 1 is none
    judge: JudgeConfig = field(default_factory=JudgeConfig)  # who rates the answers after the run; see evaluation.judge


@dataclass(frozen=True, slots=True)
class ThresholdsConfig:
    """The scores a topic has to reach, and how much worse is too much."""

    voice: float = number(0.5, 0.0, 1.0)  # to pass; 0 is text outside the voice, 1 the weakest references
    closeness: float = number(0.0, 0.0, 1.0)  # to pass; 0 is no gate: a good answer may differ from the reference
    accuracy: float = number(0.0, 0.0, 1.0)  # cosine with the reference, to pass and for a gated DPO; 0 is no gate
    dpo_trigger: float = number(0.75, 0.0, 1.0)  # a gated DPO runs if voice is below this after SFT
    worse: float = number(0.10, 0.0, 1.0)  # a phase is rolled back if answers get worse by more than this
    unreachable: Literal["error", "warn"] = "error"  # if the references themselves fail a gate


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The run as a whole."""

    name: str = ""  # the run's name on the screen; if empty, the file name
    seed: int = number(0, 0, 2**32 - 1)  # of the adapters' first values and the order of rows
    retries: int = number(0, 0, 10)  # how often to retrain a topic that did not pass, without a person's request
    checkpoint_every: int = number(20, 1)  # optimizer steps
    pause_on: tuple[Literal["collapsed", "failed"], ...] = ()  # pause after a topic with such a phase; a person resumes
    hang_after: float = number(1800.0, 0.0)  # seconds without a sign of life until a restart; from 300; 0: never
    notify: NotifyConfig = field(default_factory=NotifyConfig)  # who is told of what happens; see run.notify


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


def adapter_settings(config: RunConfig) -> dict[str, SupervisedConfig | DpoConfig]:
    """Returns the settings of each kind of adapter that a run trains, by the name of its section."""
    found: dict[str, SupervisedConfig | DpoConfig] = (
        {"foundation": config.foundation} if config.foundation.epochs else {}
    )
    return found | {phase: getattr(config, phase) for phase in PHASES}


def may_prefer(config: RunConfig) -> bool:
    """Tells whether this configuration can ever run DPO."""
    return config.adapters.strategy != "sft_only" and config.dpo.when != "never"
