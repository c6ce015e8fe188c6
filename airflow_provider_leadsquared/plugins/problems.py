"""What the page says when it cannot show what was asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_leadsquared.ledgers.errors import (
    LedgerError,
    LedgerMissingError,
    LedgerUnavailableError,
    LedgerVersionError,
)
from airflow_provider_leadsquared.plugins.settings import OPTION, SECTION

_log = logging.getLogger(__name__)


class PageError(Exception):
    """
    The page cannot show what was asked for.

    :param status: The HTTP status.
    :param title: What is wrong, in a few words.
    :param message: What is wrong, naming the thing.
    :param remedy: What to do.
    """

    def __init__(self, status: int, title: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status, self.title, self.message, self.remedy = status, title, message, remedy


NO_LEDGER = PageError(
    200,
    "No ledger is named",
    f"Airflow's configuration names no ledger in [{SECTION}] {OPTION}, so there is nothing to show.",
    f"Set [{SECTION}] {OPTION} (AIRFLOW__{SECTION.upper()}__{OPTION.upper()}) for the API server to the ledger_conn_id "
    "of your captures and syncs: warehouse, or warehouse=crm.my_ledger where the table has another name. Captures "
    "without a ledger_conn_id keep their ledger in Airflow; the XCom of their sensor has each row's result.",
)
NOT_LOGGED_IN = PageError(
    401, "Not logged in", "This page shows rows of DAGs to users of Airflow only.", "Log in to Airflow, and come back."
)
FORBIDDEN = PageError(
    403,
    "Not permitted",
    "Your user may not see plugins of this Airflow.",
    "Ask an administrator of Airflow for the permission to view plugins.",
)

NO_SUCH_PAGE = PageError(404, "There is no such page", "Nothing is at this address.", "Begin at the list of runs.")


def unknown_ledger(name: str, known: list[str]) -> PageError:
    """Return what is said of a ledger that the configuration does not name."""
    return PageError(
        404,
        "This ledger is not shown",
        f"The ledger {name!r} is not among those that Airflow's configuration names: {', '.join(known)}.",
        f"Add it to [{SECTION}] {OPTION} (AIRFLOW__{SECTION.upper()}__{OPTION.upper()}) of the API server, and restart "
        "that.",
    )


def unknown_run(dag_id: str, run_id: str, task_id: str | None) -> PageError:
    """Return what is said of a run that the ledger does not know, or whose DAG the user may not read."""
    of_task = "" if task_id is None else f", task {task_id!r},"
    return PageError(
        404,
        "This run is not known",
        f"The ledger knows no run {run_id!r} of a DAG {dag_id!r}{of_task} that you may read.",
        "Look in the list of runs, and in the other ledgers if there are several. A run stands in the ledger once its "
        "task has begun to send; old ones may have been pruned, and those of a deleted DAG are not shown.",
    )


def bad_request(what: str) -> PageError:
    """Return what is said of an address that cannot be read."""
    return PageError(400, "This address cannot be read", what, "Follow a link of the page instead of changing it.")


@contextmanager
def named_problems(conn_id: str) -> Iterator[None]:
    """Turn what may be wrong with a ledger into what the page says of it."""
    try:
        yield
    except AirflowNotFoundException:
        raise PageError(
            404,
            "The ledger's connection is missing",
            f"Airflow has no connection {conn_id!r}, which [{SECTION}] {OPTION} names.",
            "Define the connection where the API server finds it, or correct the configuration.",
        ) from None
    except LedgerMissingError as error:
        raise PageError(
            404, "The ledger is not there", str(error), "Run a capture or sync, or correct the table's name."
        ) from None
    except LedgerVersionError as error:
        raise PageError(
            409,
            "The ledger is of another version",
            str(error),
            "Install one version of airflow-provider-leadsquared on API server and workers.",
        ) from None
    except LedgerUnavailableError as error:
        _log.warning("The deliveries page cannot read the ledger of %s: %s", conn_id, error)
        raise PageError(
            503,
            "The ledger's database cannot be reached",
            f"The database that the connection {conn_id!r} leads to does not answer, or refuses the work.",
            "Check it from the API server's machine, whose log has the database's own words, and load the page again.",
        ) from None
    except (LedgerError, ValueError) as error:
        raise PageError(
            500, "The ledger cannot be read", str(error), f"Correct [{SECTION}] {OPTION} or the connection {conn_id!r}."
        ) from None
