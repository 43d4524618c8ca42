"""The service against its own OpenAPI: no 5xx, no undocumented answer, nothing of the inside (schemathesis)."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from serving_process import serving

from apps.serving.app import create_app
from apps.serving.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
"""Not those of accepted data: bytes that are no recording fit the schema, and are refused."""


@pytest.fixture(scope="module")
def service(tmp_path_factory, tiny_bundle):
    with serving(tmp_path_factory.mktemp("api"), tiny_bundle, max_mb=1, upload_s=5) as running:
        yield running


SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
OPERATIONS = {each.ok().label: each.ok() for each in SCHEMA.get_all_operations()}


def test_every_address_is_described():
    assert sorted(OPERATIONS) == [
        "GET /healthz",
        "GET /metrics",
        "GET /v1/jobs/{id}",
        "GET /v1/model",
        "POST /v1/detect",
        "POST /v1/jobs",
    ]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_as_described(label, mode, service):
    try:
        cases = OPERATIONS[label].as_strategy(generation_mode=mode)
        _judge_all(cases, service)
    except Unsatisfiable:
        assert mode == GenerationMode.NEGATIVE, "there is nothing that could be wrong with this one"


def _judge_all(cases, service) -> None:
    @given(case=cases)
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def judge(case):
        answer = case.call(base_url=f"http://{service.address}")
        case.validate_response(answer, checks=CHECKS)
        said = answer.text + str(answer.headers)
        for secret in ("Traceback", 'File "', str(service.folder), "/tmp/", ".py"):
            assert secret not in said

    judge()
