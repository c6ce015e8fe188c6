"""The exit codes of all commands."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    #: Done, and all is well.
    GOOD = 0
    #: Done, and something needs a person: rows that were not delivered, a connection that does not work, a fault found.
    ATTENTION = 1
    #: The command line is wrong; ``argparse`` ends so, too.
    USAGE = 2
    #: Not done: what was asked for is not there, or could not be reached.
    NOT_DONE = 3


class CommandError(Exception):
    """
    A command could not do what was asked.

    :param message: What is wrong, naming the thing and the remedy.
    :param code: How the command ends.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.NOT_DONE) -> None:
        super().__init__(message)
        self.code = code
