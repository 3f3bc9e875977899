"""The catalogue of rules: name, number, what a breach looks like, its cause, and what to do."""

from dataclasses import dataclass
from typing import Literal

Ends = Literal["phase", "run", "start", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `number` as in the list of old failures, `name` as journaled, `text` in a sentence.

    `ends` says what a breach ends. phase: it is rolled back, nothing is committed, the topic is an error, and the run
    continues with the next topic. run: status 3. start: status 2, one sentence, nothing was started. warning: nothing.
    `symptom`, `cause` and `remedy` are for the person at the terminal.
    """

    number: int
    name: str
    ends: Ends
    text: str
    symptom: str
    cause: str
    remedy: str


ALL = (
    Rule(
        1, "no-stacked-adapter", "phase",
        "Before attach and after detach or fuse the model has no adapter module.",
        "the model has N adapter modules, expected 0",
        "an adapter of an earlier phase was left on the model, or one was put into another",
        "nothing: the run continues with a rebuilt model; if it comes again, report it with the journal",
    ),
    Rule(
        2, "adapter-from-tree", "phase",
        "The attached adapter modules are read from the module tree, and agree with the arrays in it.",
        "adapter arrays in N places, adapter modules in M",
        "an adapter module of an unknown kind, or an adapter that was marked as removed and is still there",
        "try the model without the library that wraps its layers; report it with the model's name",
    ),
    Rule(
        3, "trainable-set", "phase",
        "Only the parameters of the requested adapter are trainable.",
        "N arrays are trainable, expected M: …",
        "base weights were not frozen (full-weight training), or an adapter's factors are missing",
        "report it with the model's name: its layers freeze in another way",
    ),
    Rule(
        4, "requested-modules", "phase",
        "The adapted modules are the requested ones, in every requested layer, with the requested scale.",
        "N modules adapted, M requested; missing …, not asked for …; or: the adapter is scaled by …",
        "the model's layers have no modules of the names in sft.modules or dpo.modules",
        "compare sft.modules and dpo.modules with the names that the adapter pane shows",
    ),
    Rule(
        5, "counted-over-leaves", "phase",
        "The number of trainable values, counted over all arrays, is the one that follows from rank and shapes.",
        "N trainable values, expected M from rank and shapes",
        "the rank is not the requested one, or a layer's shapes differ from those of its weight",
        "report it with the model's name; an unknown kind of quantized layer can cause this",
    ),
    Rule(
        5, "fingerprint-sees", "phase",
        "A commit changes the model's fingerprint, so that two different models have different ones.",
        "the model's fingerprint is … after the commit as before it",
        "the fuse wrote nothing, or the fingerprint does not cover the weights",
        "nothing of the phase was kept; if the change was zero, raise the learning rate, else report it",
    ),
    Rule(
        6, "frozen-unchanged", "phase",
        "Every frozen parameter is the same after a phase as before it, and a fuse touches its own modules only.",
        "N frozen parameters changed, among them …",
        "something wrote into a base weight: faulty memory, or a library that changes weights in place",
        "the model was rebuilt from base and ledger; if it comes again, test the machine's memory",
    ),
    Rule(
        7, "fuse-moves-weights", "phase",
        "The fused model predicts the same tokens as the model with its adapter attached.",
        "the fuse kept a cosine of … and answers with a KL of … nats a token",
        "the fuse lost or distorted the change; usually the layer type is unknown",
        "compare model.dtype float32 with bfloat16; adapters.max_fuse_kl sets how much may be lost",
    ),
    Rule(
        7, "detach-restores", "phase",
        "After detach the logits equal those before attach, bit for bit.",
        "the probe's logits after detach differ from those before attach",
        "an adapter left something in the model that is not a parameter",
        "the model was rebuilt; report it with the model's name",
    ),
    Rule(
        8, "ledger-declares", "phase",
        "Each topic and each phase starts with the model that the ledger declares.",
        "the model is …, the ledger declares …",
        "a weight changed between two phases, or the base model or the adapters on the disk changed",
        "restore the model folder and logs/RUN/adapters and resume, or start the run again",
    ),
    Rule(
        8, "ledger-has-the-last", "run",
        "A run starts, resumes and ends with the model of its ledger; at the end, the journal names the same model.",
        "the model is …; journal and ledger.json have …",
        "the run was started again over its own commits, or another program changed ledger.json",
        "restore the whole folder logs/RUN from a copy and resume, or start the run again",
    ),
    Rule(
        9, "dpo-starts-at-ln2", "phase",
        "The first DPO loss is ln 2 with margin 0. No loss is negative, and it falls as the chosen answer gains.",
        "the first DPO loss is …, expected ln 2 = 0.6931",
        "the reference is not the model with which DPO started, or the loss has the wrong sign",
        "report it; with model.dtype bfloat16 or float16 try float32 first",
    ),
    Rule(
        10, "reference-fixed", "phase",
        "The reference log-probabilities are the same at the last step as at the first.",
        "the first tokens of … answer … have log-probability … after the last step, and had … before the first",
        "the reference was trained with the policy",
        "report it with the journal",
    ),
    Rule(
        11, "padding-is-nothing", "phase",
        "Padding and the other rows of a batch change no log-probability.",
        "the log-probability of … answer … is … alone, padded, and … as it is used",
        "the model attends to padding, or its number type is too coarse",
        "try model.dtype float32; a model with attention in both directions cannot be trained here",
    ),
    Rule(
        12, "supervised-exactly", "phase",
        "Supervised tokens are those of the answer and one end token, each predicted from the tokens before it.",
        "N supervised tokens, expected M (each answer and one end token)",
        "the chat template puts other tokens after an answer, or the mask contains prompt or padding",
        "check the model's chat template; an instruct model's own template works",
    ),
    Rule(
        13, "one-template", "phase",
        "Training rows and questions begin with exactly the tokens that the model's own chat template makes.",
        "the row begins with other tokens than the model is asked with",
        "the chat template depends on the answer, or the tags are another model's",
        "use the tokenizer that came with the model",
    ),
    Rule(
        14, "steps-as-planned", "phase",
        "Optimizer steps done are those planned, or end where patience was used up, and the adapter has moved.",
        "N of M steps were counted; or: N steps moved the adapter by 0",
        "the learning rate is too small, or the optimizer was not called",
        "raise sft.learning_rate or dpo.learning_rate; see grad_norm in the journal",
    ),
    Rule(
        14, "kept-as-measured", "phase",
        "The adapter of the best step has the values that were measured then.",
        "the adapter is not the one that was measured after step N",
        "another step's values were kept, or the checkpoint holds others",
        "nothing of the phase was kept; retry the topic, or set keep: last, and report it",
    ),
    Rule(
        14, "validation-reads-only", "phase",
        "Held-out texts are only measured: neither the adapter nor the random state changes.",
        "validation after step N changed the adapter or the seed",
        "the held-out texts were trained on, or decoding took random numbers",
        "report it; validate_every: 0 and score_every: 0 leave validation out",
    ),
    Rule(
        15, "exception-ends-phase", "phase",
        "A phase that did not finish is not committed, even if its exception was lost.",
        "the phase did not come to its end, and is not committed",
        "code caught the error and hid it; any other error shows as FAILED, with its traceback in the journal",
        "read the traceback of the failed event in journal.jsonl",
    ),
    Rule(
        16, "score-is-measured", "phase",
        "A score comes from one answer to every question, and is a number within its bounds; if not, it is an error.",
        "N of M questions were answered; or: accuracy is …",
        "the evaluation failed, and other values were used as its result",
        "read the sample events of that stage in the journal; reevaluate the topic",
    ),
    Rule(
        17, "success-is-earned", "run",
        "Status 0 means: there is at least one topic; each passed, was skipped by a person or is undecided (the "
        "threshold is inside the interval); none is forgotten in the final exam. The summary counts the undecided.",
        "the run would end with status 0, but …",
        "the verdicts differ from the journal",
        "the journal is right: read its topic_finished events, then resume",
    ),
    Rule(
        17, "final-model-examined", "run",
        "A run that is not stopped has a final score of every topic, from answers of the model that it leaves.",
        "N of M topics have no final score of the model …",
        "the model changed after the final exam, or the exam left topics out",
        "resume the run: it repeats the exam; if it comes again, report it with the journal",
    ),
    Rule(
        18, "attempt-has-steps", "phase",
        "Each attempt at a topic leaves its own steps in the journal.",
        "the attempt ended with a verdict and has no step in the journal",
        "a retry trained nothing",
        "retry the topic with r, and report it",
    ),
    Rule(
        19, "questions-held-out", "phase",
        "No held-out question or answer is trained on; the audit refuses such rows by file and line before the run.",
        "FILE:LINE: held out, but … is trained on at …",
        "the same or nearly the same text is in quiz.jsonl and in a training file",
        "change one of the two rows",
    ),
    Rule(
        20, "scored-per-answer", "phase",
        "Voice is the mean of the scores of single answers. An empty, unhealthy or void answer scores 0, and each "
        "answer is scored as if it were the only one.",
        "voice is …, its answers' own scores have a mean of …",
        "answers were scored together, or an empty one got a score",
        "reevaluate the topic; report it with voice.yaml",
    ),
    Rule(
        21, "gates-reachable", "start",
        "The references pass the gates that answers have to pass, unless the configuration allows that they fail.",
        "the references themselves score voice …, below thresholds.voice = …",
        "voice.yaml counts something against the references, or a threshold is too high for them",
        "lower thresholds.voice, correct voice.yaml, add rows in the voice, or set thresholds.unreachable: warn",
    ),
    Rule(
        22, "lengths-alike", "warning",
        "Rejected answers are 0.8 to 1.25 times as long as chosen ones.",
        "warning: rejected answers are N x as long as chosen ones",
        "if the lengths differ, DPO learns length",
        "write rejected answers of the same length",
    ),
    Rule(
        23, "rows-accounted", "run",
        "Every row that is read is either used or reported by file and line.",
        "N rows were read, M are used and K reported",
        "rows were dropped without a report",
        "report it with the curriculum's files",
    ),
    Rule(
        24, "settings-typed", "start",
        "Every key of the configuration is known, typed, within bounds, used by the program, and journaled.",
        "FILE:LINE: section.key: found …, expected …",
        "a key is misspelt or has a value of the wrong kind",
        "the message names the nearest key; docs/CONFIGURATION.md lists all keys",
    ),
    Rule(
        25, "answers-journaled", "phase",
        "Every answer that was scored is in the journal, with its stop reason.",
        "N answers were scored, M are in the journal",
        "answers were lost before they were journaled",
        "reevaluate the topic, and report it",
    ),
    Rule(
        26, "stop-as-counted", "phase",
        "Answers are greedy, and an answer has stop: length exactly if it ended at the token limit.",
        "an answer of N tokens says stop: eos; or: the first token is not the likeliest",
        "the sampler has a temperature, or an answer was cut without a mark",
        "if many answers are cut, raise evaluation.max_tokens; else report it",
    ),
    Rule(
        27, "resume-exact", "phase",
        "A checkpoint holds adapter, optimizer state and step: a resumed phase ends with the same bytes.",
        "the checkpoint of step N has an optimizer of step M",
        "the checkpoint is damaged, or an older version wrote it",
        "retry the topic (r, or ctl RUN retry TOPIC): it begins again from its start, without the checkpoint",
    ),
    Rule(
        28, "finite-steps", "phase",
        "A step that is not finite is not applied, and its rows are named; two such steps end the phase.",
        "N steps were not finite; the last on FILE:LINE",
        "the learning rate is too high, a row has unusual content, or the number type is float16",
        "lower the learning rate; check the named rows",
    ),
    Rule(
        29, "committed-on-disk", "phase",
        "A commit can be read back from the disk before its event is written, and again when the run is resumed.",
        "the adapter on the disk is not the one that was trained; or, on resume, which it ends: … lacks N of M deltas",
        "the disk fails, or the run folder was changed, cleared or replaced by an older copy",
        "check the disk; restore logs/RUN/adapters and resume, or start the run again",
    ),
    Rule(
        30, "files-whole", "run",
        "Files are written under a temporary name, then renamed; a torn journal line is repaired.",
        "adapters/… cannot be read: …",
        "a file of the run was changed or cut by a person or a failing disk",
        "restore the file from a copy and resume, or start the run again",
    ),
)  # fmt: skip

RULES: dict[str, Rule] = {rule.name: rule for rule in ALL}
OF_DATA = ("settings-typed", "gates-reachable", "lengths-alike")  # checked before anything is loaded
LATER = {  # two steps of each phase do not reach these
    "kept-as-measured": "if a phase keeps its best step",
    "validation-reads-only": "when a phase measures held-out texts",
    "success-is-earned": "when a run ends",
    "final-model-examined": "when a run ends",
    "attempt-has-steps": "when a topic ends",
    "resume-exact": "when a run is resumed",
    "files-whole": "when a run is resumed",
}
