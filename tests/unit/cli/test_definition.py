"""The commands as Airflow's own command line has them: the same as those of the module."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_provider_leadsquared.cli import running
from airflow_provider_leadsquared.cli.commands import COMMANDS, Command, Group
from airflow_provider_leadsquared.cli.definition import get_cli_commands
from airflow_provider_leadsquared.cli.main import build_parser


def of_airflow(commands: Any) -> Iterator[tuple[str, argparse.ArgumentParser, Any]]:
    """Yield each command by its name, with a parser as Airflow builds it."""
    for one in commands:
        if isinstance(one, GroupCommand):
            for name, parser, function in of_airflow(one.subcommands):
                yield f"{one.name} {name}", parser, function
        elif isinstance(one, ActionCommand):
            parser = argparse.ArgumentParser(prog=one.name)
            for argument in one.args:
                argument.add_to_parser(parser)
            yield one.name, parser, one.func


def of_the_module(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    [commands] = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    for name, below in commands.choices.items():
        if any(isinstance(one, argparse._SubParsersAction) for one in below._actions):
            yield from ((f"{name} {inner}", found) for inner, found in of_the_module(below))
        else:
            yield name, below


def _arguments(parser: argparse.ArgumentParser) -> list[tuple[Any, ...]]:
    return [(one.option_strings, one.dest, one.default, one.nargs, one.required, one.help) for one in parser._actions]


def test_both_have_the_same_commands_and_arguments():
    [group] = get_cli_commands()
    assert isinstance(group, GroupCommand)
    airflows = {name: _arguments(parser) for name, parser, _ in of_airflow(group.subcommands)}
    ours = {name: _arguments(parser) for name, parser in of_the_module(build_parser())}
    assert group.name == "leadsquared"
    assert airflows == ours
    assert set(ours) == {
        "check",
        "erase",
        "explain",
        "ledger migrate",
        "ledger prune",
        "ledger verify",
        "metrics",
        "report",
        "status",
    }


def test_airflow_ends_with_the_exit_code_of_the_command(monkeypatch):
    ran = []
    monkeypatch.setattr(running, "run", lambda command, arguments: ran.append((command.name, arguments.as_json)) or 3)
    [group] = get_cli_commands()
    assert isinstance(group, GroupCommand)
    [(parser, function)] = [(one, run) for name, one, run in of_airflow(group.subcommands) if name == "check"]
    with pytest.raises(SystemExit) as caught:
        function(parser.parse_args(["--json"]))
    assert (caught.value.code, ran) == (3, [("check", True)])


def test_the_module_is_a_program():
    shown = subprocess.run(
        [sys.executable, "-m", "airflow_provider_leadsquared", "--help"], check=True, capture_output=True, text=True
    )
    assert "Exit codes: 0 all is well" in shown.stdout


def test_every_command_names_a_function_that_is_there():
    from importlib import import_module

    commands = [one for command in COMMANDS for one in (command.commands if isinstance(command, Group) else [command])]
    assert all(isinstance(one, Command) for one in commands)
    assert all(callable(getattr(import_module(one.function[0]), one.function[1])) for one in commands)


def test_what_airflow_imports_at_each_of_its_commands_is_little():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import airflow_provider_leadsquared.cli.definition\n"
        "print(sorted(name for name in set(sys.modules) - before if name.split('.')[0] not in sys.stdlib_module_names))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert eval(shown.stdout) == [  # noqa: S307 - a list of names, printed above
        "airflow_provider_leadsquared",
        "airflow_provider_leadsquared.cli",
        "airflow_provider_leadsquared.cli.commands",
        "airflow_provider_leadsquared.cli.definition",
    ]
