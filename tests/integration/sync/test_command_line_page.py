"""What the documentation shows of the command line is what the commands print."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from textwrap import dedent, indent

import pytest

from airflow_provider_leadsquared.cli.commands import COMMANDS, Group
from airflow_provider_leadsquared.cli.main import main
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from tests.integration.sync.nights import Night, customer, run_night, sync

DOCS = Path(__file__).parents[3] / "docs"
PROGRAM = "python -m airflow_provider_leadsquared"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Transcript:
    """Runs the page's commands; ids and addresses that differ from run to run have fixed names."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._names: dict[str, str] = {}

    def of(self, block: str) -> str:
        """Return a block with its commands, and what they print now."""
        commands = [line for line in block.splitlines() if line.startswith(f"$ {PROGRAM}")]
        return "\n".join(f"{command}\n{self._output(command)}".rstrip() for command in commands)

    def _output(self, command: str) -> str:
        actual = {shown: name for name, shown in self._names.items()}
        words = [actual.get(word, word) for word in shlex.split(command.removeprefix(f"$ {PROGRAM}"))]
        self._capsys.readouterr()
        main(words)
        text = "".join(self._capsys.readouterr())
        text = re.sub(r"http://127\.0\.0\.1:\d+", "https://asyncapi-in21.leadsquared.com", text)
        text = _ID.sub(lambda found: self._name(found[0]), text)
        lines = [re.sub("─{60,}", lambda found: found[0][:60], line) for line in text.splitlines()]
        return "\n".join(lines).strip("\n")

    def _name(self, found: str) -> str:
        return self._names.setdefault(found, f"{len(self._names) + 1:08x}-0000-4000-8000-000000000000")


def page_with_output(page: str, transcript: Transcript) -> str:
    """Return the page with what its commands print now."""
    return re.sub(
        rf"^( *)```console\n( *\$ {PROGRAM}.*?)\n *```$",
        lambda found: indent(f"```console\n{transcript.of(dedent(found[2]))}\n```", found[1]),
        page,
        flags=re.DOTALL | re.MULTILINE,
    )


@pytest.mark.parametrize("name", ["command-line", "privacy", "upgrade"])
def test_a_page_shows_what_the_commands_print(on_sqlite, sandbox, clock, capsys, name):
    first, second = ("scheduled__2027-01-15T02:00:00+05:30", "scheduled__2027-01-16T02:00:00+05:30")
    sandbox.fault("reject", attribute="mx_City", value="Kochi", exception="MXDuplicateEntryException")
    on_sqlite.put(*[customer(key) for key in (4711, 4712, 4713)])
    run_night(Night(first, dag_id="customers_to_crm"), clock, on_sqlite, sync="customers")
    clock.advance(18 * 3_600)
    on_sqlite.put(customer(4712, "Kochi"), customer(4713, "Agra"), customer(4715, plan="None such"))
    with pytest.raises(LeadsNotDelivered):
        run_night(Night(second, dag_id="customers_to_crm"), clock, on_sqlite, sync="customers", allowed_rejects=1)
    on_sqlite.put(customer(4714))
    sync(Night(second, dag_id="customers_to_crm", map_index=-1), on_sqlite, sync="customers", allowed_rejects=2)
    clock.advance(90)

    page = DOCS / f"{name}.md"
    text = page.read_text()
    fresh = page_with_output(text, Transcript(capsys))
    if os.environ.get("WRITE_PAGES"):
        page.write_text(fresh)
    assert fresh == text, "WRITE_PAGES=1 writes it"


def test_every_command_is_on_the_page():
    names = [
        f"{one.name} {command.name}" if isinstance(one, Group) else one.name
        for one in COMMANDS
        for command in (one.commands if isinstance(one, Group) else [one])
    ]
    page = (DOCS / "command-line.md").read_text()
    assert [name for name in names if f"$ {PROGRAM} {name}" not in page or f"[`{name}" not in page] == []
