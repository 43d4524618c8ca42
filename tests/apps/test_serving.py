"""The service, as its callers meet it: a process, spoken to over HTTP."""

from __future__ import annotations

import io
import json
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection

import numpy as np
import psutil
import pytest
import soundfile
from serving_process import Running, serving
from tiny_model import RATE, voice

from apps.serving import schemas
from audio.ffmpeg import find_ffmpeg
from model import Detector

HYBRID = voice(np.random.default_rng(0), 6, fake_s=[(1, 2), (4, 4.5)])
LONG = np.tile(HYBRID, 3)
LIMITS = {"max_mb": 2, "max_seconds": 20, "upload_s": 2, "queue": 1, "jobs_queue": 1}


def wav(samples: np.ndarray) -> bytes:
    made = io.BytesIO()
    soundfile.write(made, samples, RATE, format="WAV", subtype="PCM_16")
    return made.getvalue()


CLIP = wav(HYBRID)


@pytest.fixture(scope="module")
def service(tmp_path_factory, tiny_bundle):
    with serving(tmp_path_factory.mktemp("api"), tiny_bundle, **LIMITS) as running:
        yield running


def post(service: Running, body: bytes, *, to: str = "/v1/detect", type: str = "audio/wav", **query: str):
    return service.client.post(to, params=query, content=body, headers={"content-type": type})


def assert_nothing_leaks(service: Running, answer) -> None:
    """No answer tells of the inside, and no upload is left."""
    said = answer.text + str(answer.headers)
    for secret in ("Traceback", 'File "', str(service.folder), "/tmp/", ".py"):
        assert secret not in said
    assert service.uploads() == []


# Judging.


def test_the_row_is_that_of_the_detector(service, tiny_bundle, tmp_path):
    """Raw or in a form, under whatever name: catches a service that judges something else than the file."""
    (tmp_path / "clip.wav").write_bytes(CLIP)
    expected = json.loads(json.dumps(Detector(tiny_bundle).detect(tmp_path / "clip.wav").to_row("clip.wav")))
    assert expected["label"] == "hybrid"
    raw = post(service, CLIP, name="clip.wav")
    form = service.client.post("/v1/detect", files={"file": ("C:\\calls\\clip.wav", CLIP, "text/plain")})
    assert raw.json() == form.json() == {"results": [expected]}
    assert_nothing_leaks(service, form)


def test_channels_and_operating_points(service):
    stereo = wav(np.stack([HYBRID, np.zeros_like(HYBRID)], axis=1))
    rows = post(service, stereo, channels="each", operating_point="balanced").json()["results"]
    assert [(row["channel"], row["label"], row["reasons"]) for row in rows] == [
        (0, "hybrid", []),
        (1, None, ["no_speech"]),
    ]
    answer = post(service, CLIP, operating_point="/etc/hosts.json")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


def test_parameters_are_checked_as_documented(service):
    """Catches a route that reads its parameters by itself and lets through what FastAPI would not."""
    for query, told in (
        ({"channels": "both"}, "channels: "),
        ({"operating_point": "x" * 101}, "operating_point: "),
        ({"name": "x" * 1_001}, "name: "),
    ):
        for address in ("/v1/detect", "/v1/jobs"):
            answer = post(service, CLIP, to=address, **query)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
            assert answer.json()["error"].startswith(told)
    assert post(service, CLIP, unknown="x").status_code == 200


def test_what_openapi_promises_is_what_comes(service):
    """Catches a field that is documented and not sent, or sent and not documented, and an example of yesterday."""
    row = post(service, CLIP).json()["results"][0]
    for found, example, model in (
        (row, schemas.ROW, schemas.Row),
        (row["segments"][0], schemas.ROW["segments"][0], schemas.Span),
        (row["quality"], schemas.ROW["quality"], schemas.Quality),
    ):
        assert list(found) == list(example) == list(model.model_fields)
    assert row["schema_version"] == schemas.ROW["schema_version"]
    schemas.Row.model_validate(row)
    schemas.Job.model_validate(schemas.JOB)
    assert service.client.get("/openapi.json").json()["info"]["title"]


def test_the_model_says_what_judges(service, tiny_bundle):
    told = service.client.get("/v1/model").json()
    assert (told["name"], told["max_seconds"]) == ("tiny", 20)
    assert [point["name"] for point in told["operating_points"]] == ["balanced"]


def test_metrics_count_and_name_nobody(service):
    before = _metric(service, 'verdicts_total{label="hybrid"}')
    post(service, CLIP, name="secret-name.wav")
    service.client.get("/no/such/secret-address")
    text = service.client.get("/metrics").text
    assert _metric(service, 'verdicts_total{label="hybrid"}') == before + 1
    assert "secret" not in text
    assert 'route="unknown"' in text


def _metric(service: Running, name: str) -> float:
    found = re.search(rf"^hybrid_audio_{re.escape(name)} (\S+)$", service.client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_the_log_is_json_and_names_nobody(service):
    post(service, CLIP, name="secret-name.wav")
    number = post(service, b"no sound", name="secret-name.wav").headers["X-Request-ID"]
    service.client.get("/healthz")  # behind it, the line of the one before is out
    (line,) = [line for line in service.log if line.get("request") == number]
    assert (line["route"], line["status"], line["code"], line["bytes"]) == ("/v1/detect", 422, "unreadable", 8)
    assert "secret" not in json.dumps(service.log)


# What no service should take.


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("clip.wav", b"\0" * 1_000_000)
    return made.getvalue()


def riff(data: bytes, *, claimed: int, channels: int = 1, rate: int = RATE) -> bytes:
    """A WAV header that claims so many bytes of sound, and what is behind it."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, 2 * channels & 0xFFFF, 16)
    head = b"RIFF" + struct.pack("<I", 36 + claimed) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", claimed) + data


BOUNDARY = "multipart/form-data; boundary=x"
HOSTILE = {
    "nothing": (b"", "audio/wav", 422, "unreadable"),
    "one byte": (b"R", "audio/wav", 422, "unreadable"),
    "text": (b"this is no sound\n" * 50, "audio/wav", 422, "unreadable"),
    "a zip": (zipped(), "audio/wav", 422, "unreadable"),
    "a zip in a WAV": (riff(zipped(), claimed=900_000_000), "audio/wav", 422, "unreadable"),
    "a WAV that claims 900 MB": (riff(b"\0" * 100, claimed=900_000_000), "audio/wav", 422, "unreadable"),
    "65535 channels": (riff(b"\0" * 200_000, claimed=200_000, channels=65_535), "audio/wav", 422, "unreadable"),
    "a WAV at 1 Hz": (riff(b"\0" * 2_000, claimed=2_000, rate=1), "audio/wav", 422, "unreadable"),
    "half a WAV": (CLIP[: len(CLIP) // 2], "audio/wav", 422, "unreadable"),
    "a playlist": (b"#EXTM3U\nfile:///etc/passwd\n", "audio/mpegurl", 422, "unreadable"),
    "a page": (CLIP, "text/html", 415, "unsupported_type"),
    "a type that is none": (CLIP, "wav", 415, "unsupported_type"),
    "a type with two strokes": (CLIP, "audio/wav/html", 415, "unsupported_type"),
    "JSON": (b"{}", "application/json", 415, "unsupported_type"),
    "a form without a boundary": (b"--x", "multipart/form-data", 400, "bad_request"),
    "a form cut short": (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a', BOUNDARY, 422, None),
    "a form without a file": (b"--x--\r\n", BOUNDARY, 422, "invalid_parameter"),
    "too many bytes": (b"\0" * 3_000_000, "audio/wav", 413, "too_large"),
    "too much sound": (wav(np.zeros(RATE * 21)), "audio/wav", 413, "too_long"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_refused(service, name):
    body, type, status, code = HOSTILE[name]
    answer = post(service, body, type=type, name="../../etc/passwd")
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code or code is None
    assert_nothing_leaks(service, answer)


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("POST", "/v1/detect?channels=both", 422, "invalid_parameter"),
        ("POST", "/v1/detect?operating_point=none", 422, "invalid_parameter"),
        ("POST", "/nowhere", 404, "not_found"),
        ("PUT", "/v1/detect", 405, "method_not_allowed"),
    ],
)
def test_who_is_refused_before_the_body_came_may_go_on(service, method, address, status, code):
    """Catches a service that answers, takes the body for the head of the next request, and hangs up."""
    with closing(HTTPConnection(service.address, timeout=30)) as connection:
        connection.putrequest(method, address)
        connection.putheader("Content-Type", "audio/wav")
        connection.putheader("Content-Length", "300000")
        connection.endheaders()
        select.select([connection.sock], [], [], 0.5)  # until it answers; which it should not, yet
        connection.send(b"\0" * 300_000)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (status, code)
        connection.auto_open = False  # the same connection, or none
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_who_sends_on_and_on_is_told_that_it_ends_here(service):
    """Catches a client that keeps the connection of a body that was given up for its next request."""
    answer = service.client.post("/v1/detect?channels=both", content=b"\0" * 20_000_000)
    assert (answer.status_code, answer.headers["connection"]) == (422, "close")


def test_a_body_without_a_promised_length_is_counted(service):
    """Catches a limit that trusts Content-Length."""
    answer = service.client.post("/v1/detect", content=(b"\0" * 65_536 for _ in range(64)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert_nothing_leaks(service, answer)


def test_a_form_is_counted_too(service):
    answer = service.client.post("/v1/detect", files={"file": ("a.wav", b"\0" * 2_050_000)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x", "/", "..", "a\0b", "a\r\nSet-Cookie: x", "ä" * 900])
def test_names_like_paths_are_only_said_back(service, name):
    answer = service.client.post("/v1/detect", files={"file": (name, CLIP)})
    shown = answer.json()["results"][0]["path"]
    assert "/" not in shown
    assert "\\" not in shown
    assert shown.isprintable()
    assert 0 < len(shown) <= 200
    assert shown != ".."
    assert_nothing_leaks(service, answer)


def test_a_file_that_got_its_suffix_is_removed_too(service):
    """Headerless G.722 is told by its name alone: catches an upload that stays behind under its second name."""
    answer = post(service, b"\x55" * 16_000, name="call.g722")
    assert answer.status_code == 200, answer.text
    assert_nothing_leaks(service, answer)


@pytest.mark.parametrize("suffix", ["opus", "flac", "webm"])
def test_a_bomb_stops_while_it_is_decoded(service, tmp_path, suffix):
    """Ten minutes of silence in a few kB, and 20 s are allowed: catches a service that decodes it whole."""
    made = tmp_path / f"bomb.{suffix}"
    source = ["-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "600"]
    codec = ["-c:a", "flac"] if suffix == "flac" else ["-c:a", "libopus", "-b:a", "500", "-frame_duration", "60"]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, *codec, str(made)], check=True)
    post(service, CLIP)
    before = _memory(service)
    answer = post(service, made.read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_long")
    assert _memory(service) - before < 32e6
    assert_nothing_leaks(service, answer)


def _memory(service: Running) -> float:
    main = psutil.Process(service.process.pid)
    return sum(each.memory_info().rss for each in (main, *main.children(recursive=True)))


def raw_socket(service: Running) -> socket.socket:
    host, port = service.address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=60)


def test_a_slow_upload_is_given_up(service):
    with raw_socket(service) as line:
        line.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        line.sendall(CLIP[:100])
        assert b" 408 " in line.recv(4_096)
    assert service.uploads() == []


def test_a_sender_who_goes_leaves_nothing(service):
    with raw_socket(service) as line:
        line.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + CLIP[:100])
    for _ in range(100):
        if any(line.get("status") == 499 for line in service.log):
            break
        service.client.get("/healthz")
    assert service.uploads() == []


def test_a_head_without_end_is_refused(service):
    """Catches a service that collects it in memory: it hangs up."""
    with raw_socket(service) as line, suppress(ConnectionError):
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
        for _ in range(1_000):
            line.sendall(b"a" * 65_536)
        pytest.fail("it takes a head of 65 MB")
    assert service.client.get("/healthz").json() == {"status": "ok"}


def test_who_finds_no_place_is_told_when_to_come_again(service):
    """One worker, one place to wait: of eight at once some are judged, the others get 429, none anything else."""
    body = wav(LONG)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(service, body), range(8)))
    found = sorted(answer.status_code for answer in answers)
    assert set(found) == {200, 429}
    assert found.count(200) >= 2
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
    assert post(service, CLIP).status_code == 200


# Keys, beginnings and ends.


def test_a_key_opens_everything_and_nothing_else_does(tmp_path, tiny_bundle):
    with serving(tmp_path / "api", tiny_bundle, key="sesame") as running:
        asked = [("GET", "/v1/model"), ("GET", "/metrics"), ("POST", "/v1/detect"), ("POST", "/v1/jobs")]
        asked.append(("GET", "/v1/jobs/" + "a" * 22))
        for given in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "Basic sesame"}):
            assert {running.client.request(*each, headers=given).status_code for each in asked} == {401}
            assert post(running, CLIP, channels="both").status_code == 401, "who may not ask learns nothing"
        right = {"Authorization": "Bearer sesame"}
        assert [running.client.request(*each, headers=right).status_code for each in asked] == [200, 200, 422, 202, 404]
        assert running.client.get("/healthz").status_code == 200
        assert "sesam" not in json.dumps(running.log)


def test_what_was_begun_is_finished(tmp_path, tiny_bundle):
    """A polite end in the middle of a request: it is answered, and nothing is left but the folder of jobs."""
    with serving(tmp_path / "api", tiny_bundle, max_seconds=3_600) as running:
        found: list[int] = []
        body = wav(np.tile(HYBRID, 40))
        asking = threading.Thread(target=lambda: found.append(post(running, body).status_code))
        asking.start()
        while not any((running.folder / "uploads").iterdir()):
            pass
        running.stop()
        asking.join()
        assert found == [200]
        assert running.log[-1]["event"] == "stopped"
        assert [path.name for path in running.folder.iterdir()] == ["jobs"]


def test_a_killed_service_leaves_no_upload_behind(tmp_path, tiny_bundle):
    (tmp_path / "api" / "uploads").mkdir(parents=True)
    (tmp_path / "api" / "uploads" / "left").write_bytes(CLIP)
    with serving(tmp_path / "api", tiny_bundle) as running:
        assert running.uploads() == []
        workers = psutil.Process(running.process.pid).children(recursive=True)
        running.stop(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert alive == [], "workers end with the service"


def test_two_services_do_not_share_a_folder(service, tiny_bundle):
    with pytest.raises(AssertionError, match="another process is writing"), serving(service.folder, tiny_bundle):
        pass


def test_no_model_is_one_line(tmp_path):
    with pytest.raises(AssertionError, match=r"error: .*none"), serving(tmp_path, tmp_path / "none"):
        pass
