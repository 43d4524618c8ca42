"""Live sound over a WebSocket: the rows of `script.py live`, and an end for every stream."""

from __future__ import annotations

import io
import json
import threading
from contextlib import suppress
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile
from serving_process import Running, serving
from tiny_model import RATE, voice
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from model import Detector

HYBRID = voice(np.random.default_rng(0), 6, fake_s=[(1, 2), (4, 4.5)])
PCM = (np.clip(HYBRID, -1, 1) * 32_767).astype("<i2")


@pytest.fixture(scope="module")
def service(tmp_path_factory, tiny_bundle):
    settings = {"streams": 1, "streams_max_seconds": 10, "streams_idle_s": 2}
    with serving(tmp_path_factory.mktemp("api"), tiny_bundle, **settings) as running:
        yield running


def opened(service: Running, **query: str) -> ClientConnection:
    return connect(f"ws://{service.address}/v1/stream?{urlencode(query)}")


def send(line: ClientConnection, data: bytes, *, size: int = 8_001) -> None:
    """In pieces that do not respect samples."""
    for k in range(0, len(data), size):
        line.send(data[k : k + size])


def rest(line: ClientConnection) -> list[dict]:
    """What still comes, whatever the code of the end."""
    rows = []
    with suppress(ConnectionClosed):
        while True:
            rows.append(json.loads(line.recv()))
    return rows


def test_the_last_row_is_that_of_the_detector(service, tiny_bundle):
    expected = Detector(tiny_bundle).detect(PCM).to_row("stream")
    with opened(service) as line:
        send(line, PCM.tobytes())
        line.send("end")
        *rows, last = rest(line)
        assert line.close_code == 1000
    assert rows
    assert [row["live"]["final"] for row in (*rows, last)] == [False] * len(rows) + [True]
    last.pop("live")
    assert last == json.loads(json.dumps(expected))


def test_sound_with_a_header(service):
    made = io.BytesIO()
    soundfile.write(made, HYBRID, RATE, format="OGG")
    with opened(service, format="container") as line:
        send(line, made.getvalue())
        line.send("end")
        assert rest(line)[-1]["label"] == "hybrid"


def test_what_is_no_sound(service):
    with opened(service, format="container") as line:
        line.send(b"this is no sound\n" * 100)
        line.send("end")
        (row,) = rest(line)
        assert line.close_code == 1007
    assert row == {
        "schema_version": 3,
        "path": "stream",
        "error": "stream: cannot be read: it is damaged or no recording in a known format",
    }


@pytest.mark.parametrize("format", ["s12", "s16le:1", "s16le:16000:999"])
def test_a_format_that_is_none_is_refused(service, format):
    with pytest.raises(InvalidStatus) as refusal:
        opened(service, format=format)
    assert refusal.value.response.status_code == 422
    assert json.loads(refusal.value.response.body)["code"] == "invalid_parameter"


def test_there_are_only_so_many_and_a_silent_one_is_ended(service):
    with opened(service) as line:
        line.send(PCM[:RATE].tobytes())
        with pytest.raises(InvalidStatus) as refusal:
            opened(service)
        assert refusal.value.response.status_code == 429
        assert int(refusal.value.response.headers["Retry-After"]) >= 1
        rows = rest(line)  # says nothing more: ended after two seconds
    assert (rows[-1]["live"]["final"], rows[-1]["duration_s"]) == (True, 1.0)


def test_enough_is_enough(service):
    """Catches a stream without end: after ten seconds it is told its verdict, whatever is sent."""
    with opened(service) as line:
        sending = threading.Thread(target=lambda: send(line, np.tile(PCM, 2).tobytes()))
        sending.start()
        rows = rest(line)
        sending.join()
        assert rows[-1]["duration_s"] == 10.0
        assert rows[-1]["live"]["final"]


def test_who_goes_frees_the_place(service):
    for _ in range(3):
        with opened(service) as line:
            line.send(PCM.tobytes())
        while "hybrid_audio_streams 0.0" not in service.client.get("/metrics").text:
            pass


def test_a_stop_gives_the_last_row(tmp_path, tiny_bundle):
    with serving(tmp_path / "api", tiny_bundle, key="sesame") as running:
        address = f"ws://{running.address}/v1/stream"
        with pytest.raises(InvalidStatus) as refusal:
            connect(address)
        assert refusal.value.response.status_code == 401
        with connect(address, additional_headers={"Authorization": "Bearer sesame"}) as line:
            line.send(PCM.tobytes())
            first = json.loads(line.recv())
            running.process.terminate()
            rows = [first, *rest(line)]
            assert (rows[-1]["live"]["final"], rows[-1]["duration_s"]) == (True, 6.0)
            assert line.close_code == 1012
