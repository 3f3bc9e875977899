"""Loads a run's configuration from YAML into a frozen RunConfig, and writes it as YAML."""

import dataclasses
import difflib
import typing
from pathlib import Path
from typing import Any

import yaml

from engine.contract.errors import InputError
from engine.contract.schema import FieldError, build
from engine.contract.settings import legacy_keys, mlx_lm_keys
from engine.contract.settings.config import CurriculumConfig, RunConfig, SourceConfig, adapter_settings
from engine.contract.settings.judge import JudgeConfig, require_judge
from engine.contract.settings.notify import require_addresses
from engine.contract.settings.row_files import row_kind
from engine.contract.settings.yaml_file import Loader, mapping, read_text
from engine.contract.wording import nearest, short

PATIENCE = 300.0  # seconds that a step, a commit or a prompt may take
MOST_LINES = 10_000  # most keys with a noted line number
ROLES = ("sft", "preferences", "quiz")  # kinds of rows
FIELDS = (  # that a row can have; its topic is not one of them
    "messages conversations conversation system prompt completion response instruction input context history output "
    "question query answer text chosen rejected heldout reference concepts label kto_tag weight train"
).split()


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
        _keep(config)
        require_addresses(config.run.notify, "run.notify")
        judge = checked_judge(config.evaluation.judge, path.parent)
        config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, judge=judge))
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


def checked_judge(judge: JudgeConfig, folder: Path) -> JudgeConfig:
    """Returns the judge's settings with an absolute path to its model; raises FieldError if it cannot be asked."""
    require_judge(judge, "evaluation.judge")
    if judge.endpoint or not judge.model.startswith((".", "~", "/")):
        return judge
    return dataclasses.replace(judge, model=_local("evaluation.judge.model", folder, judge.model))


def _from_here(folder: Path, settings: CurriculumConfig) -> CurriculumConfig:
    """Makes paths absolute, from the configuration's folder; turns a source that is only a path into a SourceConfig.

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
        problem = f"{short(unknown[0])} is not a field of a row{nearest(unknown[0], FIELDS)}"
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


def journaled(config: RunConfig) -> dict[str, Any]:
    """Returns the settings for the journal and every report: all but run.notify, whose addresses are secret."""
    found = dataclasses.asdict(config)
    del found["run"]["notify"]
    return found


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


def _keep(config: RunConfig) -> None:
    """Raises FieldError if a phase lacks the measurements by which it is to choose a step or end early."""
    for name, phase in adapter_settings(config).items():
        measure = {"loss": "validate_every", "score": "score_every"}.get(phase.keep)
        if measure and not getattr(phase, measure):
            raise FieldError(f"{name}.{measure}", f"found 0, expected 1 at least, because {name}.keep is {phase.keep}")
        if phase.patience and not measure:
            raise FieldError(f"{name}.patience", f"found {phase.patience}, expected 0, because {name}.keep is last")


def _modules(config: RunConfig) -> None:
    """Raises FieldError if a phase names no module, or the same one twice."""
    for name, phase in adapter_settings(config).items():
        if not phase.modules or len(set(phase.modules)) != len(phase.modules):
            raise FieldError(f"{name}.modules", f"found {list(phase.modules)}, expected distinct module names")
