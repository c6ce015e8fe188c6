"""The page as a FastAPI application: its routes, and what it says when something is wrong."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader
from starlette.exceptions import HTTPException

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.plugins import views
from airflow_provider_leadsquared.plugins.access import MAY_SEE_PLUGINS
from airflow_provider_leadsquared.plugins.problems import FORBIDDEN, NO_SUCH_PAGE, NOT_LOGGED_IN, PageError, bad_request
from airflow_provider_leadsquared.plugins.reading import AskedDep
from airflow_provider_leadsquared.reports.advice import tone_of
from airflow_provider_leadsquared.reports.formats import duration, moment

_PACKAGE = "airflow_provider_leadsquared.plugins"
#: Nothing but the page's own style and script is loaded, and only Airflow may show it in a frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_STATIC = {"style.css": "text/css", "page.js": "text/javascript"}

router = APIRouter()
_templates = Environment(loader=PackageLoader(_PACKAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
_templates.filters |= {
    "number": lambda value: f"{value:,}",
    "moment": lambda value: moment(value) or "",
    "duration": lambda value: "" if value is None else duration(value),
    "tone": tone_of,
    "sentence": lambda text: f"{text[:1].upper()}{text[1:]}.",
}


def make_app() -> FastAPI:
    """Return the application. Every route of it needs a user who may see plugins."""
    app = FastAPI(
        title="LeadSquared deliveries", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[MAY_SEE_PLUGINS]
    )
    app.include_router(router)
    app.add_exception_handler(PageError, _show_problem)
    app.add_exception_handler(HTTPException, _show_http_problem)
    app.add_exception_handler(RequestValidationError, _show_bad_request)
    return app


@router.get("/")
def show_nights(asked: AskedDep, dag_id: str | None = None, before: str | None = None) -> HTMLResponse:
    """Show all DAG runs, newest first."""
    return _page("nights.html", asked, **views.nights_page(asked, dag_id or None, before))


@router.get("/run")
def show_run(
    asked: AskedDep, dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None
) -> HTMLResponse:
    """Show one DAG run, or one task of it."""
    which = views.RunFilter(dag_id, run_id, task_id or None, map_index)
    return _page("run.html", asked, **views.run_page(asked, which))


@router.get("/rows")
def show_rows(
    asked: AskedDep,
    dag_id: str,
    run_id: str,
    state: State,
    task_id: str | None = None,
    map_index: int | None = None,
    reason: str | None = None,
    after: str | None = None,
    from_key: str | None = None,
) -> HTMLResponse:
    """Show rows of a DAG run that are in one state."""
    which = views.RunFilter(dag_id, run_id, task_id or None, map_index)
    return _page("rows.html", asked, **views.rows_page(asked, which, state, reason or None, after, from_key or None))


@router.get("/open")
def show_open(asked: AskedDep, after: str | None = None) -> HTMLResponse:
    """Show requests without a verdict."""
    return _page("open.html", asked, **views.open_page(asked, after))


@router.get("/key")
def show_key(asked: AskedDep, key: str) -> HTMLResponse:
    """Show where a row stands, and its history."""
    return _page("key.html", asked, **views.key_page(asked, key.strip()))


@router.get("/style.css")
def get_style() -> Response:
    """Return the page's style."""
    return _static("style.css")


@router.get("/page.js")
def get_script() -> Response:
    """Return the page's script."""
    return _static("page.js")


def _page(name: str, asked: Any, status: int = 200, **shown: Any) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(name).render(asked=asked, **shown), status, headers=_HEADERS)


def _static(name: str) -> Response:
    content = files(_PACKAGE).joinpath("static", name).read_bytes()
    headers = {**_HEADERS, "Cache-Control": "private, max-age=3600"}
    return Response(content, media_type=_STATIC[name], headers=headers)


def _show_problem(_: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, PageError)  # noqa: S101 - as it is registered
    return _page("problem.html", None, error.status, problem=error)


def _show_http_problem(request: Request, error: Exception) -> HTMLResponse:
    status = getattr(error, "status_code", 500)
    known = {401: NOT_LOGGED_IN, 403: FORBIDDEN, 404: NO_SUCH_PAGE}
    problem = known.get(status) or PageError(
        status, "This is not possible here", f"{request.method} is not answered.", "Follow a link of the page."
    )
    return _show_problem(request, problem)


def _show_bad_request(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as it is registered
    names = sorted({str(one["loc"][-1]) for one in error.errors()})
    return _show_problem(request, bad_request(f"It lacks, or has a wrong value for, {', '.join(names)}."))
