"""
Check that the site's search finds every public name: arguments, states, errors, switches and the ledger's columns.

``make docs`` runs this on the site that it has built; it exits with what is missing, each with what it is.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

from airflow_provider_leadsquared import exceptions
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.schema import Tables
from airflow_provider_leadsquared.sandbox.settings import Settings

PACKAGE = "airflow_provider_leadsquared"
REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def documented() -> list[tuple[str, Any]]:
    """Return what the reference documents: the dotted name of each class or function, and itself."""
    text = "".join(path.read_text() for path in sorted(REFERENCE.glob("*.md")))
    found = []
    for name in re.findall(r"auto(?:class|function|exception):: ([\w.]+)", text):
        module, _, attribute = name.rpartition(".")
        found.append((name, getattr(importlib.import_module(module), attribute)))
    return found


def public_callables() -> Iterator[tuple[str, Any]]:
    """Yield each documented function, class and public method of a class that is this package's own."""
    for name, one in documented():
        yield name, one
        if inspect.isclass(one):
            for attribute, value in vars(one).items():
                if inspect.isfunction(value) and not attribute.startswith("_"):
                    yield f"{name}.{attribute}", value


def arguments(one: Any) -> set[str]:
    """Return the names of a callable's own arguments, without ``self`` and those that it passes on."""
    return {
        name
        for name, parameter in inspect.signature(one).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and name not in ("self", "cls")
    }


def public_names() -> Iterator[tuple[str, str]]:
    """Yield every name that a reader may search for, with what it is."""
    for owner, one in public_callables():
        if not (inspect.isclass(one) and issubclass(one, BaseException)):
            yield from ((name, f"argument of {owner}") for name in sorted(arguments(one)))
    yield from ((state.value, "state") for state in State)
    yield from ((name, "error") for name in exceptions.__all__)
    yield from ((field.name, "switch of the sandbox") for field in dataclasses.fields(Settings))
    tables = Tables.named("leadsquared_ledger", None)
    yield from ((column.name, f"column of {tables.name}") for column in tables.entries.columns)
    for view, query in tables.views.items():
        yield view, "view"
        yield from ((column.name, f"column of {view}") for column in query.selected_columns)


def words_of(site: Path) -> set[str]:
    """Return all words of the site's pages; the source code that it shows does not count."""
    words: set[str] = set()
    for page in site.rglob("*.html"):
        if not {"_modules", "_static"} & set(page.relative_to(site).parts):
            body = page.read_text().partition("<body")[2]
            words |= set(re.findall(r"\w+", unescape(re.sub(r"<[^>]*>", "", body))))
    return words


def main(site: Path) -> int:
    """Print the names that no page has, and return how the process ends."""
    words = words_of(site)
    missing = sorted({f"{name} ({what})" for name, what in public_names() if name not in words})
    for one in missing:
        print(f"no page of the site names {one}", file=sys.stderr)
    return min(len(missing), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
