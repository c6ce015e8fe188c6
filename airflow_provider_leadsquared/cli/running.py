"""Running a command: what it prints, and how it ends whatever happens."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.cli.commands import Command
from airflow_provider_leadsquared.cli.exit_codes import CommandError, ExitCode
from airflow_provider_leadsquared.cli.output import Output

#: By this Airflow knows that connections of its own database may be read in this process, as its own commands do.
_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def run(command: Command, arguments: Namespace) -> int:
    """
    Run a command, print what it finds, and return its exit code.

    Errors are one sentence on the standard error, and with ``--json`` an object on the standard output, too.
    """
    output = Output(as_json=arguments.as_json)
    module, function = command.function
    try:
        with _as_airflows_own_process():
            code: ExitCode = getattr(import_module(module), function)(arguments, output)
    except CommandError as error:
        output.print_error(str(error))
        code = error.code
    except (LeadSquaredError, ValueError) as error:
        output.print_error(str(error))
        code = ExitCode.NOT_DONE
    except KeyboardInterrupt:
        output.print_error("stopped")
        code = ExitCode.NOT_DONE
    return int(code)


@contextmanager
def _as_airflows_own_process() -> Iterator[None]:
    """Let connections be found in Airflow's database, too, not only in the environment and in secrets backends."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]
        else:
            os.environ[_CONTEXT] = before
