"""Every rule is broken on purpose somewhere, is looked at and holds in an unbroken run, and is in the docs."""

from pathlib import Path

import pytest
import tiny

from engine.rules import catalogue, troubleshooting_page
from engine.rules.enforce import RULES, Broken, require
from tests.engine.adapters import test_broken_adapters
from tests.engine.evaluation import test_broken_scores
from tests.engine.pipeline import test_broken_runs
from tests.engine.training import test_broken_training

FAULTS = [
    *test_broken_adapters.fault,
    *test_broken_training.fault,
    *test_broken_scores.fault,
    *test_broken_runs.fault,
]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_broken_on_purpose_and_holds_when_nothing_is(name, unbroken, record_property):
    """Where the engine itself looks (all but the data's rules), an unbroken run has looked, and found it to hold."""
    broken_by = [fault.name for fault in FAULTS if fault.rule == name]
    assert broken_by, f"nothing breaks {name}"
    if RULES[name].ends in ("phase", "run"):
        assert name in unbroken.held
    record_property("whole", name)


def test_every_old_failure_has_a_rule():
    assert {rule.number for rule in catalogue.ALL} == set(range(1, 31))
    assert len({rule.name for rule in catalogue.ALL}) == len(catalogue.ALL)


def test_require_raises_with_its_rule_and_an_unknown_rule_is_a_mistake():
    require("finite-steps", True, "nothing")
    with pytest.raises(Broken, match="found 2, expected 1") as caught:
        require("finite-steps", False, "found 2, expected 1")
    assert caught.value.rule is RULES["finite-steps"]
    with pytest.raises(KeyError):
        require("no-such-rule", True, "")


def test_troubleshooting_is_made_from_the_rules():
    written = (tiny.ROOT / "docs" / "TROUBLESHOOTING.md").read_text()
    assert written == troubleshooting_page.table(), "run `make docs`"
    cells = [line.count(" | ") for line in written.splitlines() if line.startswith("| ") and "`" in line]
    assert set(cells) <= {2, 4}, "a text holds a bar, which ends its cell"


def test_the_rules_of_the_table_are_named_where_they_are_looked_at():
    """A rule that the engine looks at is named in a require() of its code, and no other name is."""
    code = "".join(
        file.read_text() for file in Path(catalogue.__file__).parents[1].rglob("*.py") if file.name != "catalogue.py"
    )
    for rule in catalogue.ALL:
        assert (f'"{rule.name}"' in code) == (rule.ends in ("phase", "run")), rule.name
