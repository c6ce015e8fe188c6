"""The command line and the pytest plugin, each in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from dataclasses import fields

import pytest
import requests

from airflow_provider_leadsquared.sandbox import Sandbox
from airflow_provider_leadsquared.sandbox.__main__ import main
from airflow_provider_leadsquared.sandbox.settings import Settings

COMMAND = [sys.executable, "-m", "airflow_provider_leadsquared.sandbox"]


@pytest.fixture
def run():
    """Start the sandbox on a free port; give the process and its address."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[3]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(run, sent):
    process, _ = run()
    process.send_signal(sent)
    assert process.wait(5) == 0
    assert process.stderr.read() == ""


def test_it_serves_as_soon_as_it_has_printed_its_address(run):
    _, url = run()
    assert requests.get(url, timeout=5).status_code == 200


def test_it_prints_one_line_with_the_addresses(run):
    process, url = run()
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == ""
    assert url.startswith("http://127.0.0.1:")


def test_the_port_is_written_to_a_file(run, tmp_path):
    _, url = run("--port-file", str(tmp_path / "port"))
    assert (tmp_path / "port").read_text() == url.rpartition(":")[2] + "\n"


def test_fields_switches_and_speed_come_from_the_command_line(run, tmp_path):
    (tmp_path / "fields.json").write_text('[{"SchemaName": "mx_Size", "DataType": "Number"}]')
    process, url = run(
        *("--fields", str(tmp_path / "fields.json"), "--speed", "0", "--ladder", "offsets"),
        *("--retries", "1", "2", "--no-metrics", "--rate", "6"),
    )
    switches = requests.get(f"{url}/sandbox/switches", timeout=5).json()
    assert (switches["ladder"], switches["retries"], switches["metrics"], switches["rate"]) == (
        "offsets",
        [1, 2],
        False,
        6,
    )
    assert requests.get(f"{url}/sandbox/clock", timeout=5).json()["speed"] == 0
    query = {"accessKey": switches["access_key"], "secretKey": switches["secret_key"], "schemaName": "mx_Size"}
    assert requests.get(f"{url}/v2/LeadManagement.svc/LeadsMetaData.Get", params=query, timeout=5).json()


def test_the_log_shows_events_but_neither_keys_nor_lead_data(run):
    process, url = run("-v", "--queue-delay", "0")
    default = Settings()
    for lead in (
        [{"Attribute": "EmailAddress", "Value": "meera@example.org"}],
        [{"Attribute": "Phone", "Value": "Nope"}],
    ):
        requests.post(
            f"{url}/lead/capture",
            params={"accessKey": default.access_key, "secretKey": default.secret_key},
            headers={"x-api-key": default.api_key},
            json=lead,
            timeout=5,
        )
    requests.get(f"{url}/sandbox/counts", timeout=5)
    process.send_signal(signal.SIGINT)
    log = process.communicate()[1]
    assert "capture: 200" in log
    assert "attempt 1: success" in log
    assert "attempt 1: MXInvalidInputException" in log
    secrets = (default.access_key, "u%24r", default.secret_key, default.api_key, "meera", "Nope")
    assert not any(secret in log for secret in secrets)


def test_a_malformed_call_is_not_quoted_on_the_log(run):
    process, url = run("-v")
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        client.sendall(b"POST /lead/capture?secretKey=canary HTTP/9.x\r\n\r\n")
        assert b"400" in client.recv(100)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == ""


def test_the_help_explains_every_switch_with_its_default(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    missing = [spec.name for spec in fields(Settings) if f"--{spec.name.replace('_', '-')}" not in shown]
    assert missing == []
    assert all(spec.metadata["help"] in shown for spec in fields(Settings))


@pytest.mark.parametrize(
    "arguments", [["--rate", "0"], ["--ladder", "up"], ["--speed", "-1"], ["--fields", "/nowhere"], ["--nope"]]
)
def test_wrong_arguments_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_fields_file_that_is_no_list_ends_with_code_2(tmp_path, capsys):
    (tmp_path / "fields.json").write_text("{}")
    with pytest.raises(SystemExit) as end:
        main(["--fields", str(tmp_path / "fields.json")])
    assert end.value.code == 2
    assert "not a list" in capsys.readouterr().err


def test_a_port_out_of_range_ends_with_code_1(capsys):
    assert main(["--port", "70000"]) == 1
    assert "cannot start" in capsys.readouterr().err


def test_a_port_that_is_taken_ends_with_code_1(sandbox, capsys):
    assert main(["--port", str(sandbox.port)]) == 1
    assert "cannot start" in capsys.readouterr().err


def test_a_port_that_is_taken_is_an_error_in_process_too(sandbox):
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=sandbox.port).start()


# The pytest plugin


def test_the_airflow_connection_is_a_plain_dictionary(leadsquared_sandbox_factory):
    sandbox = leadsquared_sandbox_factory(speed=6)
    assert json.loads(json.dumps(sandbox.airflow_connection())) == {
        "conn_type": "leadsquared",
        "host": f"http://127.0.0.1:{sandbox.port}",
        "login": sandbox.access_key,
        "password": sandbox.secret_key,
        "extra": {
            "async_api_key": sandbox.api_key,
            "sync_host": f"http://127.0.0.1:{sandbox.port}",
            "sandbox_speed": 6,
        },
    }


PLUGIN_TEST = """
import pytest

@pytest.mark.leadsquared_sandbox(speed=0, rate=600)
def test_as_marked(leadsquared_sandbox):
    before = leadsquared_sandbox.now()
    leadsquared_sandbox.advance(30)
    assert leadsquared_sandbox.now() == before + 30

def test_unmarked(leadsquared_sandbox):
    assert leadsquared_sandbox.airflow_connection()["extra"]["sandbox_speed"] == 60

def test_two_at_once(leadsquared_sandbox_factory):
    assert leadsquared_sandbox_factory().url != leadsquared_sandbox_factory().url
"""


def test_the_plugin_works_in_somebody_elses_tests(tmp_path):
    (tmp_path / "test_theirs.py").write_text(PLUGIN_TEST)
    plugin = ["-p", "airflow_provider_leadsquared.sandbox.pytest_plugin", "--strict-markers"]
    command = [sys.executable, "-m", "pytest", "-q", *plugin, "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command
    assert "3 passed" in ended.stdout, ended.stdout


def test_only_the_plugin_needs_pytest():
    script = "import sys, airflow_provider_leadsquared.sandbox.__main__; print('pytest' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our own command
    assert shown.stdout == "False\n"


def test_it_shares_no_code_with_the_client():
    script = (
        "import sys, airflow_provider_leadsquared.sandbox.__main__\n"
        "names = [name.split('.') for name in sys.modules if name.startswith('airflow_provider_leadsquared.')]\n"
        "print({name[1] for name in names})"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our own command
    assert shown.stdout == "{'sandbox'}\n"
