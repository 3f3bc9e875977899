"""The commands of `mindprint-tui`: add a new one to the list at the end"""

import click

from mindprint_tui.cli import examining, making, reading, training, using
from mindprint_tui.cli.group import RunByDefault


@click.group(cls=RunByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mindprint-tui")
def cli() -> None:
    """Teach a person's voice to a language model, topic by topic, and see whether it works.

    mindprint-tui CONFIG trains a configuration; mindprint-tui run --help lists the options. RUN is a run's name or
    its folder.
    """


for command in (
    training.run,
    training.attach,
    training.runs,
    training.ctl,
    examining.check,
    examining.judge,
    examining.score,
    reading.compare,
    reading.metrics,
    reading.report,
    reading.vote,
    using.chat,
    using.export,
    using.serve,
    making.new,
    making.review,
):
    cli.add_command(command)
