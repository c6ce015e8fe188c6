"""All commands with their arguments, as data: for ``argparse`` and for Airflow's own command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: What Airflow's command line and the module are called, and what all commands are for.
NAME = "leadsquared"
HELP = "See and keep what was delivered to LeadSquared"
EPILOG = "Exit codes: 0 all is well, 1 something needs attention, 2 wrong usage, 3 not done."
_CLI = "airflow_provider_leadsquared.cli"


@dataclass(frozen=True)
class Argument:
    """
    One argument.

    :param flags: Its name, or its options.
    :param settings: What ``ArgumentParser.add_argument`` takes besides.
    """

    flags: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """
    One command.

    :param name: Its name.
    :param help: What it does, in a line.
    :param function: The module and function that do it.
    :param arguments: Its arguments.
    """

    name: str
    help: str
    function: tuple[str, str]
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Group:
    """
    Commands under one name.

    :param name: The name.
    :param help: What they do, in a line.
    :param commands: The commands.
    """

    name: str
    help: str
    commands: tuple[Command, ...]


def _argument(*flags: str, **settings: Any) -> Argument:
    return Argument(flags, settings)


_JSON = _argument("--json", dest="as_json", action="store_true", default=False, help="Print JSON")
_ACCOUNT = _argument(
    "--conn-id",
    default="leadsquared_default",
    metavar="ID",
    help="The LeadSquared connection (default: leadsquared_default)",
)
_LEDGER = (
    _argument("--ledger-conn-id", required=True, metavar="ID", help="The connection of the ledger's database"),
    _argument(
        "--ledger-table",
        default="leadsquared_ledger",
        metavar="TABLE",
        help="The ledger table (default: leadsquared_ledger)",
    ),
)
_API = _argument("--api", default="lead_capture", metavar="API", help="The asynchronous API (default: lead_capture)")
_KEY = _argument("row_key", metavar="KEY", help="The row key")
_HASHED = _argument(
    "--hashed", action="store_true", default=False, help="The sync has hash_row_keys: look for the key's hash"
)

COMMANDS: tuple[Command | Group, ...] = (
    Command(
        "check",
        "Check a connection: hosts, key pair and async API key",
        (f"{_CLI}.account_commands", "check"),
        (_ACCOUNT, _JSON),
    ),
    Command(
        "erase",
        "Delete all that a ledger keeps of a row key",
        (f"{_CLI}.erase_command", "erase"),
        (
            _KEY,
            _HASHED,
            *_LEDGER,
            _ACCOUNT,
            _argument("--yes", action="store_true", default=False, help="Do not ask for a confirmation"),
            _JSON,
        ),
    ),
    Command(
        "explain",
        "Say where a row stands, why, and what to do next, with its whole history",
        (f"{_CLI}.explain_command", "explain"),
        (_KEY, _HASHED, *_LEDGER, _JSON),
    ),
    Group(
        "ledger",
        "Keep a ledger's tables",
        (
            Command(
                "migrate",
                "Bring a ledger's tables up to date, as the next task does by itself",
                (f"{_CLI}.ledger_commands", "migrate"),
                (*_LEDGER, _JSON),
            ),
            Command(
                "prune",
                "Delete lines of old runs that nothing refers to any more",
                (f"{_CLI}.ledger_commands", "prune"),
                (
                    *_LEDGER,
                    _argument(
                        "--days",
                        type=int,
                        default=90,
                        metavar="DAYS",
                        help="Keep lines that were written in so many days (default: 90, at least 8)",
                    ),
                    _JSON,
                ),
            ),
            Command(
                "verify",
                "Check that a ledger is whole: tables, indexes, and what its lines refer to",
                (f"{_CLI}.ledger_commands", "verify"),
                (*_LEDGER, _JSON),
            ),
        ),
    ),
    Command(
        "metrics",
        "Ask how busy LeadSquared's queue is",
        (f"{_CLI}.account_commands", "metrics"),
        (_ACCOUNT, _API, _JSON),
    ),
    Command(
        "report",
        "Show a night: its rows by verdict, the reasons, and what is open",
        (f"{_CLI}.report_command", "report"),
        (
            *_LEDGER,
            _argument("--dag-id", default=None, metavar="DAG", help="The DAG (default: that of the newest run)"),
            _argument("--run-id", default=None, metavar="RUN", help="The DAG run (default: the DAG's newest)"),
            _argument(
                "--list", dest="list_runs", action="store_true", default=False, help="List the newest 50 runs instead"
            ),
            _argument("--out", default=None, metavar="FILE", help="Write the report as one HTML file"),
            _JSON,
        ),
    ),
    Command(
        "status",
        "Ask LeadSquared what became of requests",
        (f"{_CLI}.account_commands", "status"),
        (
            _argument("request_ids", nargs="+", metavar="REQUEST_ID", help="RequestIds"),
            _ACCOUNT,
            _API,
            _JSON,
        ),
    ),
)
