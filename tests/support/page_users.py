"""An auth manager of Airflow whose users may read some DAGs, for tests of the deliveries page."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

#: Which DAGs each user may read, None for all.
READABLE: dict[str, set[str] | None] = {"all": None, "nightly": {"nightly"}, "nothing": set()}
#: Users who may not see plugins.
WITHOUT_PLUGINS = {"stranger"}


class AuthManagerByDag(SimpleAuthManager):
    """Airflow's simple auth manager, but that users may read some DAGs only."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        """Return whether the user may read a DAG."""
        readable = READABLE.get(user.username, set())
        return readable is None or (details is not None and details.id in readable)

    def is_authorized_view(self, *, access_view: Any, user: Any) -> bool:
        """Return whether the user may see plugins."""
        return user.username not in WITHOUT_PLUGINS
