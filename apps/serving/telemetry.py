"""What the service tells about itself: a line of JSON for each request, and metrics for Prometheus.

Neither holds sound, verdicts on single recordings, names of files, queries, addresses of callers or keys.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.serving.refusals import BODY_OVER, GONE

_log = logging.getLogger(__name__)

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets of the histograms."""

OF_ALL_ANSWERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""Headers that no route sets by itself."""

UNKNOWN = "unknown"
"""Route of requests for addresses that are not there: their own text would fill the memory."""


Verdict = tuple[str | None, float]
"""The label of a result, None for an abstention, and how many seconds of sound it is about."""


def verdicts_of(rows: list[dict[str, Any]]) -> list[Verdict]:
    """Return what is counted of rows of `Detection.to_row`."""
    return [(row["label"], row["duration_s"]) for row in rows]


class Metrics:
    """Counters and gauges of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own: dict[str, Any] = {"namespace": "hybrid_audio", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "status"], **own)
        self.request_seconds = Histogram("request_seconds", "Time to answer.", ["route"], buckets=SECONDS, **own)
        self.judge_seconds = Histogram("judge_seconds", "Time a worker took.", ["kind"], buckets=SECONDS, **own)
        self.sound_seconds = Counter("sound_seconds", "Sound judged, in seconds.", ["kind"], **own)
        self.verdicts = Counter("verdicts", "Results by label; none: abstained.", ["label"], **own)
        self.refusals = Counter("refusals", "Requests refused, by code.", ["code"], **own)
        self.waiting = Gauge("places_taken", "Requests judged or waiting for it.", **own)
        self.uploads = Gauge("uploads", "Recordings being received.", **own)
        self.streams = Gauge("streams", "Live streams.", **own)
        self.jobs = Gauge("jobs_waiting", "Jobs judged or waiting for it.", **own)

    def judged(self, kind: str, verdicts: Iterable[Verdict], seconds: float) -> None:
        """Count results of a request, a job or a stream."""
        self.judge_seconds.labels(kind).observe(seconds)
        for label, duration_s in verdicts:
            self.verdicts.labels(label or "none").inc()
            self.sound_seconds.labels(kind).inc(duration_s)


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, event, and the facts that came along."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        made = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": made, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[0]:
            line["trace"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


_ENCODER = json.JSONEncoder(default=str)


SAID_ALREADY = ("without completing handshake", "audio.errors.", "startup failed")
"""What uvicorn logs as an error besides: of a stream that was refused with an HTTP answer, and of a start that our own
error ended, which has its line."""


def log_as_json() -> None:
    """Send all talk of this process to stderr as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # What no line tells need not be found out for each: who logged, and where (the Logging HOWTO's "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # else it tells addresses and queries
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: not any(words in record.getMessage() for words in SAID_ALREADY)
    )


class Watched:
    """Wraps an app: gives each request a number, counts and logs it, and adds the headers that all answers have."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, began, status = secrets.token_hex(8), time.perf_counter(), GONE
        scope["request_id"] = number

        async def watched_receive() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                scope[BODY_OVER] = True
            return message

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode()), *OF_ALL_ANSWERS]
            await send(message)

        try:
            await self._app(scope, watched_receive, watched)
        finally:
            self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN)
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        facts = {"request": scope["request_id"], "method": scope["method"], "route": route, "status": status}
        facts |= {"took_s": round(seconds, 4), **scope.get("facts", {})}
        if code := scope.get("refused"):
            self._metrics.refusals.labels(code).inc()
            facts["code"] = code
        _log.info("request", extra={"facts": facts})
