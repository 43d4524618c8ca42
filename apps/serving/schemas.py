"""What the service answers, as OpenAPI describes it. The rows are those of `docs/outputs.md`; tests compare them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.serving.jobs import STATES
from apps.serving.refusals import CODES
from apps.serving.uploads import FIELD, FORM

Label = Literal["real", "fake", "hybrid"]

ROW: dict[str, Any] = {
    "schema_version": 3,
    "path": "interview.wav",
    "channel": None,
    "label": "hybrid",
    "probabilities": {"real": 0.062, "fake": 0.028, "hybrid": 0.91},
    "score": 0.938,
    "segments": [
        {
            "start_s": 3.42,
            "end_s": 4.1,
            "label": "fake",
            "confidence": 0.88,
            "start_range_s": [3.38, 3.44],
            "end_range_s": [4.08, 4.12],
        }
    ],
    "abstained": False,
    "reasons": [],
    "warnings": [],
    "duration_s": 8.5,
    "quality": {
        "n_samples": 136000,
        "speech_samples": 108800,
        "level_dbfs": -24.1,
        "peak_dbfs": -6.3,
        "snr_db": 31.0,
        "clipped_share": 0.0,
        "bandwidth_hz": 7900.0,
        "music_share": 0.0,
    },
    "model": "pretrained",
    "operating_point": "5%",
}
"""An example of a result."""

JOB: dict[str, Any] = {
    "id": "Zk3v9Qh1c0mFq2yXb7TfAw",
    "state": "done",
    "created": "2026-01-01T12:00:00.000+00:00",
    "finished": "2026-01-01T12:01:30.000+00:00",
    "results": [ROW],
    "code": None,
    "error": None,
}
"""An example of a job."""


class Span(BaseModel):
    """A fake span, in seconds, half-open."""

    start_s: float
    end_s: float
    label: Literal["real", "fake"]
    confidence: float | None
    start_range_s: tuple[float, float] | None
    end_range_s: tuple[float, float] | None


class Quality(BaseModel):
    """Facts about the sound; null where it does not show."""

    n_samples: int
    speech_samples: int
    level_dbfs: float | None
    peak_dbfs: float | None
    snr_db: float | None
    clipped_share: float
    bandwidth_hz: float | None
    music_share: float


class Row(BaseModel):
    """A result: that of the recording, or of one of its channels."""

    model_config = ConfigDict(json_schema_extra={"examples": [ROW]})

    schema_version: int
    path: str = Field(description="what the sender calls the recording, without folders")
    channel: int | None
    label: Label | None
    probabilities: dict[str, float | None]
    score: float | None
    segments: list[Span]
    abstained: bool
    reasons: list[str]
    warnings: list[str]
    duration_s: float
    quality: Quality
    model: str
    operating_point: str


class Results(BaseModel):
    """One row, or one a channel."""

    results: list[Row]


class Job(BaseModel):
    """A recording that is judged later."""

    model_config = ConfigDict(json_schema_extra={"examples": [JOB]})

    id: str
    state: str = Field(json_schema_extra={"enum": list(STATES)})
    created: str
    finished: str | None
    results: list[Row] | None = Field(description="when the state is done")
    code: str | None = Field(description="why there are none, when it is failed or lost")
    error: str | None


class Problem(BaseModel):
    """Why there is no result."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "busy", "error": CODES["busy"]}]})

    code: str = Field(json_schema_extra={"enum": list(CODES)})
    error: str


class Point(BaseModel):
    """How much evidence an accusation needs, and what that gave where it was measured."""

    name: str
    measured: dict[str, Any]


class Model(BaseModel):
    """What judges, and within which limits."""

    name: str
    sha256: str
    version: str = Field(description="of the toolkit")
    licence: str | None
    labels: list[str]
    operating_point: str = Field(description="the one that is taken when none is asked for")
    operating_points: list[Point]
    max_mb: float
    max_seconds: float
    jobs_max_mb: float
    jobs_max_seconds: float
    streams_max_seconds: float


class Health(BaseModel):
    """That the service is there."""

    status: Literal["ok"]


RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}

_TOLD = {
    400: "the request cannot be understood",
    401: "the key is missing or wrong",
    404: "no such job",
    408: "the body did not arrive in time",
    413: "the body or the recording is beyond the limit",
    415: "the body is neither sound nor a form",
    422: "no recording that can be judged, or a wrong parameter",
    429: "too much is going on: try again after Retry-After seconds",
    500: "the service failed",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe refusals for OpenAPI."""
    found: dict[int | str, dict[str, Any]] = {s: {"model": Problem, "description": _TOLD[s]} for s in statuses}
    if 429 in found:
        found[429]["headers"] = RETRY_AFTER
    return found


_SOUND = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _SOUND}}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A recording in any audio or video format: itself, or in a form.",
        "content": {
            FORM: {"schema": _FORM},
            **{type: {"schema": _SOUND} for type in ("audio/wav", "audio/mpeg", "application/octet-stream")},
        },
    }
}
"""How a recording is sent."""
