"""
The plugin: where Airflow's UI finds the deliveries page.

Airflow loads plugins in every process, tasks among them. So this module imports nothing that a task does not need: the
page itself is imported when somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_leadsquared.tasks.deliveries_page import PAGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping


class LazyPage:
    """The page as an ASGI application, which is made at the first request."""

    _app: Any = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if self._app is None:
            from airflow_provider_leadsquared.plugins.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


class DeliveriesPlugin(AirflowPlugin):
    """The page *Leads* in Airflow's navigation: what was delivered, what was not, and why."""

    name = "leadsquared"
    fastapi_apps = [{"app": LazyPage(), "url_prefix": f"/{PAGE}", "name": "LeadSquared deliveries"}]
    # A longer name would be cut off there. The address has no slash in front, so that it holds below any base path.
    external_views = [{"name": "Leads", "href": f"{PAGE}/", "url_route": PAGE, "destination": "nav"}]
