"""Who may see the page, and rows of which DAGs: as Airflow's auth manager decides."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from fastapi import Depends

#: What every route depends on: a user who is logged in, and may see plugins.
MAY_SEE_PLUGINS = Depends(requires_access_view(AccessView.PLUGINS))


def _readable_dags(user: GetUserDep) -> frozenset[str]:
    """Return the ids of the DAGs that the user may read."""
    return frozenset(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


#: The ids of the DAGs that the user of a request may read.
ReadableDags = Annotated[frozenset[str], Depends(_readable_dags)]
