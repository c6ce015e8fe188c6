"""
Check the wheel and the sdist in a folder, and the package as it is installed in this environment.

``make package`` builds both, installs the wheel and runs this; it exits with a sentence at what is wrong.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

PACKAGE = "airflow_provider_leadsquared"
#: The package's files as they stand in the repository: all of them have to be in the wheel and in the sdist.
FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in Path(PACKAGE).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
COMMANDS = (
    ("-m", "airflow", "providers", "get", "airflow-provider-leadsquared"),
    ("-m", f"{PACKAGE}.sandbox", "--help"),
    ("-m", PACKAGE, "--help"),
    ("-c", f"import {PACKAGE}.transfers.sql_to_leadsquared, {PACKAGE}.sensors.lead_status"),
)


def wheel_faults(path: Path) -> list[str]:
    """Return what is wrong with the wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        text = wheel.read(metadata).decode()
    readme = Parser().parsestr(text).get_payload()
    faults = [f"{path.name} lacks {name}" for name in FILES if f"{PACKAGE}/{name}" not in names]
    faults += [
        f"{path.name} has {name}, which is not part of the package"
        for name in names
        if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-"))
    ]
    faults += [
        f"the README's link to {link} leads nowhere on an index's page"
        for link in re.findall(r"\]\(([^)]*)\)", str(readme))
        if not link.startswith(("https://", "#"))
    ]
    return faults


def sdist_faults(path: Path) -> list[str]:
    """Return what is wrong with the sdist."""
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", *(f"{PACKAGE}/{name}" for name in FILES)}
    faults = [f"{path.name} lacks {name}" for name in sorted(needed - names)]
    allowed = (f"{PACKAGE}/", *needed, ".gitignore")
    return faults + [f"{path.name} has {name}" for name in sorted(names) if not name.startswith(allowed)]


def command_faults() -> list[str]:
    """Return which commands do not work with the installed package."""
    faults = []
    with tempfile.TemporaryDirectory(prefix="package-") as folder:
        for command in COMMANDS:
            ended = subprocess.run(  # noqa: S603 - the commands above
                [sys.executable, "-P", *command],
                cwd=folder,
                env={"AIRFLOW_HOME": folder, "HOME": folder, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            if ended.returncode:
                faults.append(f"python {' '.join(command)} ends with {ended.returncode}:\n{ended.stderr[-2_000:]}")
    return faults


def main(folder: Path) -> int:
    """Print what is wrong, and return how the process ends."""
    if "py.typed" not in FILES:
        print(f"run this in the repository: there is no {PACKAGE}/py.typed here", file=sys.stderr)
        return 1
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    faults = [*wheel_faults(wheel), *sdist_faults(sdist), *command_faults()]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{wheel.name} and {sdist.name} are complete, and the installed package works")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
