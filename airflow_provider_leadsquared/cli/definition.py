"""The commands for Airflow's own command line, which reads them from 3.2 on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.cli.commands import COMMANDS, EPILOG, HELP, NAME, Command, Group

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_cli_commands() -> list[CLICommand]:
    """Return the group ``airflow leadsquared``. Airflow asks for it at each of its commands, so little is imported."""
    from airflow.cli.cli_config import GroupCommand

    return [GroupCommand(NAME, HELP, [_defined(one) for one in COMMANDS], epilog=EPILOG)]


def _defined(one: Command | Group) -> CLICommand:
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    if isinstance(one, Group):
        return GroupCommand(one.name, one.help, [_defined(command) for command in one.commands])
    make: Callable[..., Any] = Arg  # Airflow gives it no types
    arguments = [make(argument.flags, **argument.settings) for argument in one.arguments]
    return ActionCommand(one.name, one.help, _running(one), arguments, epilog=EPILOG)


def _running(command: Command) -> Callable[..., Any]:
    def run_and_exit(arguments: Namespace) -> None:
        from airflow_provider_leadsquared.cli.running import run

        raise SystemExit(run(command, arguments))

    return run_and_exit
