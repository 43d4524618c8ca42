"""What is done for each address: receive, hand on, answer."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractAsyncContextManager
from typing import Literal, Self

from fastapi import Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from apps.serving import schemas, streams
from apps.serving.keys import check_key
from apps.serving.refusals import Refusal
from apps.serving.service import Service
from apps.serving.telemetry import verdicts_of
from apps.serving.uploads import Upload, received
from apps.serving.work import Task
from audio.errors import ToolkitError, UsageError
from audio.hearing import RawFormat
from audio.labels import LABELS
from model.judging.report import software_version
from model.points import model_sha256

_log = logging.getLogger(__name__)


class Asked(BaseModel):
    """How a caller wants a recording judged: the parameters of a request."""

    channels: Literal["mean", "each"] = Field("mean", description="judge the mean of the channels, or each on its own")
    operating_point: str | None = Field(
        None, description="how much evidence an accusation needs: one of /v1/model", max_length=100
    )
    name: str | None = Field(None, description="what to call a recording that is the body itself", max_length=1_000)

    @classmethod
    def of(cls, request: Request) -> Self:
        """Read them; raise `RequestValidationError` for one that is not as described."""
        try:
            return cls.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None

    @property
    def each_channel(self) -> bool:
        """Whether each channel is judged on its own."""
        return self.channels == "each"

    def check(self, service: Service) -> None:
        """Raise `Refusal` for an operating point that the model does not have."""
        if self.operating_point is not None and self.operating_point not in service.point_names:
            expected = ", ".join(service.point_names)
            raise Refusal(422, "invalid_parameter", f"operating_point: expected one of {expected}")


async def detected(request: Request, asked: Asked) -> Response:
    """Judge a recording and wait for it."""
    service: Service = request.app.state.service
    settings = service.settings
    asked.check(service)
    service.judging.expect_one()  # before the body is taken; and again behind it
    async with _recording(request, asked, max_mb=settings.max_mb, seconds=settings.upload_s) as upload:
        with service.judging.taken():
            task = Task(upload.path, upload.name, settings.limits, asked.operating_point, asked.each_channel)
            answer = await service.workers.judge(task)
    service.judging.took(answer.seconds)
    service.metrics.judged("request", answer.verdicts, answer.seconds)
    return Response(b'{"results":%s}' % answer.results, media_type="application/json")


async def job_added(request: Request, asked: Asked) -> Response:
    """Take a recording to be judged later."""
    service: Service = request.app.state.service
    settings = service.settings
    asked.check(service)
    service.jobs.expect_room()
    async with _recording(request, asked, max_mb=settings.jobs_max_mb, seconds=10 * settings.upload_s) as upload:
        job = service.jobs.add(upload, operating_point=asked.operating_point, each_channel=asked.each_channel)
    return JSONResponse(job.to_answer(), 202, headers={"Location": f"/v1/jobs/{job.id}"})


def _recording(request: Request, asked: Asked, *, max_mb: float, seconds: float) -> AbstractAsyncContextManager[Upload]:
    """Receive what a request holds."""
    service: Service = request.app.state.service
    return received(
        request,
        service.uploads,
        places=service.receiving,
        max_bytes=round(max_mb * 1e6),
        seconds=seconds,
        name=asked.name,
        log_name=service.settings.log_names,
    )


async def streamed(socket: WebSocket, format: str, *, key: str | None) -> None:
    """Serve one live stream, or refuse it as a plain HTTP answer."""
    service: Service = socket.app.state.service
    try:
        scheme, _, given = socket.headers.get("authorization", "").partition(" ")
        check_key(given.strip() if scheme.lower() == "bearer" else None, key)
        raw = _raw_format(format)
        with service.listening.taken():
            await socket.accept()
            await _listened(service, socket, raw)
    except Refusal as error:
        service.metrics.refusals.labels(error.code).inc()
        await socket.send_denial_response(JSONResponse(error.body(), error.status, headers=error.headers))


async def _listened(service: Service, socket: WebSocket, raw: RawFormat | None) -> None:
    began = time.perf_counter()
    try:
        rows = await service.streams.serve(socket, raw)
    except (ToolkitError, OSError) as error:
        _log.error("stream failed", extra={"facts": {"why": str(error)}})
        await socket.close(streams.FAILED)
        return
    took_s = time.perf_counter() - began
    service.metrics.judged("stream", verdicts_of(rows), took_s)
    heard_s = rows[0]["duration_s"] if rows else 0.0
    _log.info("stream", extra={"facts": {"took_s": round(took_s, 3), "heard_s": heard_s}})


def _raw_format(text: str) -> RawFormat | None:
    try:
        return None if text == streams.CONTAINER else RawFormat.parse(text)
    except UsageError as error:
        raise Refusal(422, "invalid_parameter", f"format: {error}, or {streams.CONTAINER}") from None


def model_facts(service: Service) -> schemas.Model:
    """Tell what judges, and within which limits."""
    bundle, settings = service.detector.bundle, service.settings
    return schemas.Model(
        name=bundle.name,
        sha256=model_sha256(bundle),
        version=software_version(),
        licence=bundle.licence or None,
        labels=[*LABELS],
        operating_point=service.detector.operating_point.name,
        operating_points=[schemas.Point(name=p.name, measured=dict(p.measured)) for p in bundle.operating_points],
        max_mb=settings.max_mb,
        max_seconds=settings.max_seconds,
        jobs_max_mb=settings.jobs_max_mb,
        jobs_max_seconds=settings.jobs_max_seconds,
        streams_max_seconds=settings.streams_max_seconds,
    )
