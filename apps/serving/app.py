"""The service as an ASGI app: its addresses, as OpenAPI describes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi import Path as InPath
from fastapi.params import Depends as DependsOn
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from apps.serving import schemas
from apps.serving.answers import Asked, detected, job_added, model_facts, streamed
from apps.serving.direct import Direct
from apps.serving.jobs import ID
from apps.serving.keys import key_guard
from apps.serving.refusals import CODES, Refusal, answer_refusals
from apps.serving.schemas import problems
from apps.serving.service import running
from apps.serving.settings import Settings
from apps.serving.telemetry import Metrics, Watched
from audio.errors import ToolkitError
from model.judging.report import software_version

DESCRIPTION = """\
Judges recordings: real, fake, or hybrid, that is genuine speech with fake spans in it. A verdict is evidence, not
proof.

Live sound goes to the WebSocket `/v1/stream?format=s16le:16000:1` (or `format=container` for sound with a header, such
as WebM): binary messages in, a JSON row twice a second out; the text message `end` ends the sound, and the last row is
the verdict on the whole. See `docs/serving.md`.
"""

_log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Return the service as an ASGI app; nothing is loaded or begun before it starts.

    Raises
    ------
    ToolkitError
        When it starts: there is no usable model, or another service has the folder.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with running(settings, metrics) as app.state.service:
                _log.info("ready", extra={"facts": {"model": app.state.service.detector.bundle.name}})
                yield
        except ToolkitError as error:
            _log.error("cannot start", extra={"facts": {"why": str(error)}})
            raise
        _log.info("stopped")

    app = FastAPI(
        title="Hybrid audio detection",
        version=software_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    answer_refusals(app)
    guard = key_guard(settings.key)
    _add_judging(app, guard)
    _add_waiting(app, guard)
    _add_watching(app, guard, metrics)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket, format: str = "s16le:16000:1") -> None:
        await streamed(socket, format, key=settings.key)

    app.add_middleware(Watched, metrics=metrics)
    return app


def _add_judging(app: FastAPI, guard: list[DependsOn]) -> None:
    """Add the routes that take recordings."""

    async def detect(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        return await detected(request, asked)

    async def add_job(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        return await job_added(request, asked)

    direct: dict[str, Any] = {"methods": ["POST"], "route_class_override": Direct, "dependencies": guard}
    direct |= {"responses": problems(400, 401, 408, 413, 415, 422, 429, 500), "openapi_extra": schemas.BODY}
    app.router.add_api_route(
        "/v1/detect",
        detect,
        summary="Judge a recording now",
        tags=["judging"],
        response_model=schemas.Results,
        **direct,
    )
    app.router.add_api_route(
        "/v1/jobs",
        add_job,
        summary="Judge a long recording later",
        tags=["jobs"],
        status_code=202,
        response_model=schemas.Job,
        **direct,
    )

    @app.get("/v1/model", summary="What judges", tags=["judging"], responses=problems(401), dependencies=guard)
    async def model(request: Request) -> schemas.Model:
        return model_facts(request.app.state.service)


def _add_waiting(app: FastAPI, guard: list[DependsOn]) -> None:
    """Add the route of those who wait for a job."""

    @app.get(
        "/v1/jobs/{id}",
        summary="What has become of a job",
        tags=["jobs"],
        response_model=schemas.Job,
        responses=problems(401, 404, 422),
        dependencies=guard,
    )
    async def job(request: Request, id: Annotated[str, InPath(pattern=f"^{ID}$")]) -> Response:
        found = await asyncio.to_thread(request.app.state.service.jobs.get, id)
        if found is None:
            raise Refusal(404, "not_found", CODES["not_found"])
        return JSONResponse(found.to_answer())


def _add_watching(app: FastAPI, guard: list[DependsOn], metrics: Metrics) -> None:
    """Add the routes of those who run the service."""

    @app.get("/healthz", summary="Whether the service is there", tags=["service"])
    async def healthz() -> schemas.Health:
        return schemas.Health(status="ok")

    text: dict[int | str, Any] = {200: {"content": {"text/plain": {}}, "description": "metrics"}}

    @app.get(
        "/metrics",
        summary="Figures for Prometheus",
        tags=["service"],
        response_class=Response,
        responses=text | problems(401),
        dependencies=guard,
    )
    async def metrics_() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
