"""The deliveries page in Airflow's own API server, which finds it by its entry point."""

from __future__ import annotations

from local_airflow import LocalAirflow


def test_the_page_is_in_airflows_navigation_and_answers(local_airflow: LocalAirflow) -> None:
    plugins = {plugin["name"]: plugin for plugin in local_airflow.api("GET", "plugins")["plugins"]}
    [view] = plugins["leadsquared"]["external_views"]
    assert (view["name"], view["destination"]) == ("Leads", "nav")
    shown = local_airflow.get(f"/{view['href']}", timeout=10)
    assert (shown.status_code, "Set [leadsquared] ledgers" in shown.text) == (200, True)
