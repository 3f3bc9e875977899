"""The catalogue of rules: name, number, the symptom and cause of a breach, and the remedy."""

from dataclasses import dataclass
from typing import Literal

Ends = Literal["phase", "run", "start", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `number` as in the list of old failures, `name` as journaled, `text` in a sentence.

    `ends` is what a breach ends. phase: it is rolled back, nothing is committed, the topic is an error, and the next
    topic goes on. run: status 3. start: status 2, one sentence, nothing begun. warning: nothing. `symptom`, `cause` and
    `remedy` are for the person at the terminal.
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
        "the run goes on with the model made anew; where it comes again, report it with the journal",
    ),
    Rule(
        2, "adapter-from-tree", "phase",
        "What is attached is read from the module tree, and agrees with the arrays that stand in it.",
        "adapter arrays in N places, adapter modules in M",
        "a kind of adapter module that this program does not know, or an adapter that was flagged off and left on",
        "try the model without the library that wraps its layers; report it with the model's name",
    ),
    Rule(
        3, "trainable-set", "phase",
        "The trainable parameters are those of the requested adapter and no others.",
        "N arrays are trainable, expected M: …",
        "base weights were not frozen (full-weight training), or an adapter's factors are missing",
        "report it with the model's name: its layers do not freeze as others do",
    ),
    Rule(
        4, "requested-modules", "phase",
        "The adapted modules are the requested ones, in every requested layer, with the scale that was asked for.",
        "N modules adapted, M requested; missing …, not asked for …; or: the adapter is scaled by …",
        "the model's layers do not hold the modules under the names in sft.modules or dpo.modules",
        "compare sft.modules and dpo.modules with the names that the adapter pane shows",
    ),
    Rule(
        5, "counted-over-leaves", "phase",
        "Trainable values are counted over array leaves and equal the count that rank and shapes call for.",
        "N trainable values, expected M from rank and shapes",
        "the rank is not the one asked for, or a layer has other shapes than its weight says",
        "report it with the model's name; a quantized layer of an unknown kind does this",
    ),
    Rule(
        5, "fingerprint-sees", "phase",
        "A commit changes the model's fingerprint: what compares models can tell two apart.",
        "the model's fingerprint is … after the commit as before it",
        "the fuse wrote nothing, or the fingerprint no longer looks at the weights",
        "nothing of the phase was kept; raise the learning rate if the change was nil, otherwise report it",
    ),
    Rule(
        6, "frozen-unchanged", "phase",
        "Every frozen parameter is the same after a phase as before it, and a fuse touches its own modules only.",
        "N frozen parameters changed, among them …",
        "something wrote into a base weight: faulty memory, or a library that changes weights in place",
        "the model was made anew from base and ledger; test the machine's memory if it comes again",
    ),
    Rule(
        7, "fuse-moves-weights", "phase",
        "The fused model answers as the model with its adapter attached did.",
        "the fuse kept a cosine of … and answers with a KL of … nats a token",
        "the fuse lost or distorted the change; most often an unknown layer type",
        "compare model.dtype float32 with bfloat16; adapters.max_fuse_kl says how much may be lost",
    ),
    Rule(
        7, "detach-restores", "phase",
        "After detach the logits equal those before attach, bit for bit.",
        "the probe's logits after detach differ from those before attach",
        "an adapter left something behind that is not a parameter",
        "the model was made anew; report it with the model's name",
    ),
    Rule(
        8, "ledger-declares", "phase",
        "A topic and a phase start with the model that the ledger declares.",
        "the model is …, the ledger declares …",
        "a weight changed between two phases, or base model or adapters on the disk are not those of the run",
        "put the model folder and logs/RUN/adapters back as they were and resume, or start the run again",
    ),
    Rule(
        8, "ledger-has-the-last", "run",
        "The model with which a run begins, goes on and ends is its ledger's; at the end the journal has it, too.",
        "the model is …; journal and ledger.json have …",
        "the run was begun a second time over what it had committed, or ledger.json was changed beside the engine",
        "put logs/RUN as a whole back from a copy and resume, or start the run again",
    ),
    Rule(
        9, "dpo-starts-at-ln2", "phase",
        "The first DPO loss is ln 2 with no margin, none is negative, and it falls as the chosen answer gains.",
        "the first DPO loss is …, expected ln 2 = 0.6931",
        "the reference is not the model as DPO began, or the loss has the wrong sign",
        "report it; with model.dtype bfloat16 or float16 try float32 first",
    ),
    Rule(
        10, "reference-fixed", "phase",
        "The reference log-probabilities are the same at the last step as at the first.",
        "the first tokens of … answer … have log-probability … after the last step, and had … before the first",
        "the reference followed the policy",
        "report it with the journal",
    ),
    Rule(
        11, "padding-is-nothing", "phase",
        "Padding and batch mates change no log-probability.",
        "the log-probability of … answer … is … alone, padded, and … as it is used",
        "the model attends to padding, or its number type is too coarse",
        "try model.dtype float32; a model that attends both ways cannot be trained here",
    ),
    Rule(
        12, "supervised-exactly", "phase",
        "Supervised tokens are the answer's and one end token, each predicted from the token before it.",
        "N supervised tokens, expected M (each answer and one end token)",
        "the chat template puts something else behind an answer, or prompt and padding are inside the mask",
        "look at the model's chat template; an instruct model's own template works",
    ),
    Rule(
        13, "one-template", "phase",
        "Training rows and questions begin with the very tokens that the model's own chat template makes.",
        "the row begins with other tokens than the model is asked with",
        "a chat template that depends on the answer, or another model's tags",
        "use the tokenizer that came with the model",
    ),
    Rule(
        14, "steps-as-planned", "phase",
        "Optimizer steps done equal steps planned, and the adapter has moved.",
        "N of M planned steps were counted; or: N steps moved the adapter by 0",
        "a learning rate of nothing, or an optimizer that was not asked",
        "raise sft.learning_rate or dpo.learning_rate; look at grad_norm in the journal",
    ),
    Rule(
        15, "exception-ends-phase", "phase",
        "A phase that did not come to its end is not committed, whatever became of the exception.",
        "the phase did not come to its end, and is not committed",
        "an error was swallowed on its way; a plain error shows as FAILED with its traceback in the journal",
        "read the failed event's traceback in journal.jsonl",
    ),
    Rule(
        16, "score-is-measured", "phase",
        "A score comes from one answer to every question and is a number within its bounds; else it is an error.",
        "N of M questions were answered; or: accuracy is …",
        "the evaluation failed and something stood in for it",
        "read the journal's sample events of that stage; reevaluate the topic",
    ),
    Rule(
        17, "success-is-earned", "run",
        "Status 0 is every topic passed, skipped by a person or undecided (the threshold is inside the interval), none "
        "forgotten in the final exam, and there was at least one; the summary counts the undecided.",
        "the run would end with status 0, but …",
        "verdicts and journal disagree",
        "the journal is right: read its topic_finished events, then resume",
    ),
    Rule(
        17, "final-model-examined", "run",
        "A run that is not stopped has a final score of every topic, answered by the very model that it leaves.",
        "N of M topics have no final score of the model …",
        "the model changed after the final exam, or the exam left topics out",
        "resume the run: it repeats the exam; if it comes again, report it with the journal",
    ),
    Rule(
        18, "attempt-has-steps", "phase",
        "Each attempt at a topic leaves its own steps in the journal.",
        "the attempt ended with a verdict and has no step in the journal",
        "a retry that retried nothing",
        "retry the topic by hand with r; report it",
    ),
    Rule(
        19, "questions-held-out", "phase",
        "No held-out question or answer is trained on; the audit refuses such data by name before the run.",
        "FILE:LINE: held out, but … is trained on at …",
        "the same or nearly the same text is in quiz.jsonl and in a training file",
        "change one of the two rows",
    ),
    Rule(
        20, "scored-per-answer", "phase",
        "Voice is the mean of the answers' own; one that is empty, sick or void scores nothing, and each has the style "
        "that it has alone.",
        "voice is …, its answers' own scores have a mean of …",
        "answers were scored together, or an empty one was given a score",
        "reevaluate the topic; report it with voice.yaml",
    ),
    Rule(
        21, "gates-reachable", "start",
        "The references pass the gates that answers have to pass, unless the configuration says that this is meant.",
        "the references themselves score voice …, below thresholds.voice = …",
        "voice.yaml counts something against the references, or a threshold is too high for them",
        "lower thresholds.voice, mend voice.yaml, add rows in the voice, or set thresholds.unreachable: warn",
    ),
    Rule(
        22, "lengths-alike", "warning",
        "Rejected answers are 0.8 to 1.25 times as long as chosen ones.",
        "warning: rejected answers are N x as long as chosen ones",
        "DPO learns length where length tells the two apart",
        "write rejected answers of the same length",
    ),
    Rule(
        23, "rows-accounted", "run",
        "Every row that is read is used, or reported by file and line.",
        "N rows were read, M are used and K reported",
        "rows were dropped in silence",
        "report it with the curriculum's files",
    ),
    Rule(
        24, "settings-typed", "start",
        "Every key of the configuration is known, typed, within bounds, read somewhere, and journaled with its value.",
        "FILE:LINE: section.key: found …, expected …",
        "a key is misspelt or has a value of the wrong kind",
        "the sentence names the nearest key; docs and configs/demo.yaml list them all",
    ),
    Rule(
        25, "answers-journaled", "phase",
        "Every answer that was scored is in the journal, with its stop reason.",
        "N answers were scored, M are in the journal",
        "answers were thrown away",
        "reevaluate the topic; report it",
    ),
    Rule(
        26, "stop-as-counted", "phase",
        "Answers are greedy, and an answer stops at the token limit exactly where it says stop: length.",
        "an answer of N tokens says stop: eos; or: the first token is not the likeliest",
        "a sampler with a temperature, or an answer cut without a mark",
        "raise evaluation.max_tokens if many answers are cut; otherwise report it",
    ),
    Rule(
        27, "resume-exact", "phase",
        "A checkpoint holds adapter, optimizer state and step as they were: a death costs no step and changes no byte.",
        "the checkpoint of step N has an optimizer of step M",
        "the checkpoint is damaged, or an older version wrote it",
        "retry the topic (r, or ctl RUN retry TOPIC): it begins again from its start, without the checkpoint",
    ),
    Rule(
        28, "finite-steps", "phase",
        "A step that is not finite is not applied and its rows are named; two of them end the phase.",
        "N steps were not finite; the last on FILE:LINE",
        "a learning rate that is too high, a row with something odd in it, or float16",
        "lower the learning rate; look at the rows that are named",
    ),
    Rule(
        29, "committed-on-disk", "phase",
        "What is committed can be read back from the disk before the event that says so, and when a run is resumed.",
        "the adapter on the disk is not the one that was trained; or, on resume, which it ends: … lacks N of M deltas",
        "a failing disk, or somebody wrote into the run folder, cleared it or put an older copy there",
        "check the disk; put logs/RUN/adapters back as it was and resume, or start the run again",
    ),
    Rule(
        30, "files-whole", "run",
        "Files are written beside and renamed, and a torn journal line is repaired; half a file is never gone on with.",
        "adapters/… cannot be read: …",
        "a file of the run was changed or cut by hand, or by a failing disk",
        "put the file back from a copy and resume, or start the run again",
    ),
)  # fmt: skip

RULES: dict[str, Rule] = {rule.name: rule for rule in ALL}
OF_DATA = ("settings-typed", "gates-reachable", "lengths-alike")  # checked before anything is loaded
LATER = {  # two steps of each phase do not reach these
    "success-is-earned": "when a run ends",
    "final-model-examined": "when a run ends",
    "attempt-has-steps": "when a topic ends",
    "resume-exact": "when a run is resumed",
    "files-whole": "when a run is resumed",
}
