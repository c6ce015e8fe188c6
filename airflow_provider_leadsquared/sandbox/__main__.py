"""The command line: ``python -m airflow_provider_leadsquared.sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.fields import LeadField
from airflow_provider_leadsquared.sandbox.server import Server
from airflow_provider_leadsquared.sandbox.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the sandbox until Ctrl-C or SIGTERM.

    :param argv: Arguments, those of the process by default.
    :return: Exit code: 0 after Ctrl-C or SIGTERM, 1 if it cannot start.
    :raises SystemExit: With code 2 if an argument is wrong, 0 after ``--help``.
    """
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    try:
        settings = Settings().changed({spec.name: arguments[spec.name] for spec in fields(Settings)})
        added = _read_fields(arguments["fields"])
        clock = Clock(arguments["speed"])
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if arguments["verbose"]:
        logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
        # Events are logged at DEBUG, so that they do not appear in the log of another program that uses the sandbox.
        logging.getLogger(__package__).setLevel(logging.DEBUG)
    server = Server(Account(settings, added, clock), arguments["open_control"], arguments["own_name"])
    try:
        asyncio.run(_serve(server, arguments["host"], arguments["port"], arguments["port_file"]))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"sandbox cannot start: {error}\n")
        return 1
    except KeyboardInterrupt:
        pass  # Ctrl-C before the signal handlers were set
    return 0


async def _serve(server: Server, host: str, port: int, port_file: Path | None) -> None:
    end = asyncio.Event()
    for sent in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sent, end.set)
    port = await server.start(host, port)
    try:
        if port_file:
            port_file.write_text(f"{port}\n")
        sys.stdout.write(f"LeadSquared sandbox on http://{host}:{port} (page: http://{host}:{port}/)\n")
        sys.stdout.flush()
        await end.wait()
    finally:
        await server.stop()


def _read_fields(path: Path | None) -> list[LeadField]:
    loaded = json.loads(path.read_text()) if path else []
    if not isinstance(loaded, list):
        raise ValueError(f"{path} is not a list of lead fields")
    return [LeadField.from_json(one) for one in loaded]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_leadsquared.sandbox",
        description="An HTTP server that behaves like LeadSquared. Both hosts are served on one port.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8778, help="port to listen on, 0 for a free one")
    parser.add_argument("--port-file", type=Path, help="file to write the port to once it is open")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="sandbox seconds per real second; 0: the clock is stopped"
    )
    parser.add_argument("--fields", type=Path, help="JSON file with a list of additional lead fields")
    parser.add_argument(
        "--open-control", action="store_true", help="let other machines use the page and everything under /sandbox/"
    )
    parser.add_argument(
        "--own-name",
        action="append",
        default=[],
        metavar="NAME",
        help="host name by which page and controls may be called, beside localhost and IP addresses; can be repeated",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log one line per event, without keys and lead data"
    )
    group = parser.add_argument_group("switches", "can be changed at run time with POST /sandbox/switches")
    for spec in fields(Settings):
        flag, text = f"--{spec.name.replace('_', '-')}", spec.metadata["help"]
        if isinstance(spec.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=spec.default, help=text)
        elif isinstance(spec.default, tuple):
            item = type(spec.default[0])
            group.add_argument(flag, nargs="*", type=item, metavar="VALUE", default=spec.default, help=text)
        else:
            choices = spec.metadata["choices"] or None
            metavar = None if choices else "VALUE"
            group.add_argument(
                flag, type=type(spec.default), choices=choices, metavar=metavar, default=spec.default, help=text
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
