"""``python -m airflow_provider_leadsquared``: the same commands as ``airflow leadsquared``, on every Airflow."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow_provider_leadsquared.cli.commands import COMMANDS, EPILOG, HELP, Command, Group


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: The command line. Default: that of the process.
    :return: The exit code.
    """
    parsed = build_parser().parse_args(arguments)
    from airflow_provider_leadsquared.cli.running import run

    return run(parsed.command, parsed)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_leadsquared", description=HELP, epilog=EPILOG)
    _add(parser, COMMANDS)
    return parser


def _add(parser: argparse.ArgumentParser, commands: Sequence[Command | Group]) -> None:
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    for one in commands:
        added = below.add_parser(one.name, help=one.help, description=one.help, epilog=EPILOG)
        if isinstance(one, Group):
            _add(added, one.commands)
            continue
        for argument in one.arguments:
            added.add_argument(*argument.flags, **argument.settings)
        added.set_defaults(command=one)
