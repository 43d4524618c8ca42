"""The microphone, with a stand-in for `sounddevice`: no sound card, no PortAudio."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from conftest import chirp

from audio import microphone
from audio.errors import AudioError, EngineError, UsageError
from audio.microphone import Microphone, devices

DEVICES = [
    {"name": "speaker", "max_input_channels": 0, "default_samplerate": 48_000.0},
    {"name": "USB mic", "max_input_channels": 1, "default_samplerate": 44_100.0},
    {"name": "pulse", "max_input_channels": 32, "default_samplerate": 16_000.0},
]


class PortAudioError(Exception):
    """As sounddevice's own."""


class FakeStream:
    """Calls back from a thread of its own with blocks of the sound, in memory that it uses again."""

    def __init__(self, sound: np.ndarray, overflow_at: int, **options) -> None:
        self.options, self._sound, self._overflow_at = options, sound, overflow_at
        self.active = True
        self._thread = threading.Thread(target=self._play, daemon=True)

    def _play(self) -> None:
        memory = np.zeros((441, self.options["channels"]), np.float32)
        for k, start in enumerate(range(0, len(self._sound) - 440, 441)):
            memory[:] = self._sound[start : start + 441, None]
            status = SimpleNamespace(input_overflow=k == self._overflow_at)
            self.options["callback"](memory, 441, None, status)
            memory[:] = 99.0
        self.active = False

    def __enter__(self) -> FakeStream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def fake(sound: np.ndarray, *, overflow_at: int = -1, default: int = 1) -> ModuleType:
    """A module like sounddevice whose devices all hear `sound`."""
    module = ModuleType("sounddevice")

    def query_devices(device: object = None, kind: str | None = None) -> object:
        if kind is None:
            return DEVICES
        wanted = default if device is None else device
        found = [d for i, d in enumerate(DEVICES) if wanted == i or (isinstance(wanted, str) and wanted in d["name"])]
        if default < 0 and device is None:
            raise PortAudioError("Error querying device -1")
        if len(found) != 1:
            raise ValueError(f"No input device\nmatching {device!r}")
        return found[0]

    def open_stream(**options: object) -> FakeStream:
        if options["device"] == 0:
            raise PortAudioError("Invalid number of channels\n[PaErrorCode -9998]")
        module.opened = FakeStream(sound, overflow_at, **options)
        return module.opened

    module.PortAudioError, module.InputStream, module.query_devices = PortAudioError, open_stream, query_devices
    module.default = SimpleNamespace(device=(default, 0))
    return module


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    def install_(sound: np.ndarray | None = None, **options: int) -> ModuleType:
        module = fake(chirp(0.5, rate_hz=44_100) if sound is None else sound, **options)
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        return module

    return install_


def heard(mic: Microphone, *, at_least: int) -> np.ndarray:
    pieces, found = mic.pieces(), [np.zeros(0, np.float32)]
    while sum(piece.size for piece in found) < at_least:
        found.append(next(pieces))
    pieces.close()
    return np.concatenate(found)


def test_inputs_are_listed(install) -> None:
    install()
    assert [(d.index, d.name, d.channels, d.rate_hz, d.is_default) for d in devices()] == [
        (1, "USB mic", 1, 44_100, True),
        (2, "pulse", 32, 16_000, False),
    ]


def test_it_is_heard_at_the_rate_of_the_device_and_comes_at_16_khz(install) -> None:
    """Catches memory that PortAudio uses again, and blocks that are resampled each on its own."""
    module = install()
    mic = Microphone()
    found = heard(mic, at_least=7_500)
    np.testing.assert_allclose(found[200:7_500], chirp(0.5)[200:7_500], atol=2e-3)
    assert (mic.name, mic.overflows, module.opened.options["samplerate"]) == ("USB mic", 0, 44_100)


@pytest.mark.parametrize("wanted", ["2", "pul"])
def test_a_device_by_index_or_name_and_at_most_two_of_its_channels(install, wanted: str) -> None:
    module = install(chirp(0.5))
    mic = Microphone(wanted)
    assert np.array_equal(heard(mic, at_least=7_900)[:7_900], chirp(0.5)[:7_900])
    assert (mic.name, module.opened.options["channels"]) == ("pulse", 2)


def test_lost_sound_is_counted(install, monkeypatch) -> None:
    """What PortAudio lost, and what did not fit into the queue; neither may pass in silence."""
    install(overflow_at=3)
    mic = Microphone()
    heard(mic, at_least=7_500)
    assert mic.overflows == 1
    monkeypatch.setattr(microphone, "MOST_WAITING", 2)
    mic = Microphone()
    for _ in range(5):
        mic._take(np.zeros((10, 1), np.float32), 10, None, SimpleNamespace(input_overflow=False))
    assert mic.overflows == 3


def test_a_device_that_goes_away(install, monkeypatch) -> None:
    monkeypatch.setattr(microphone, "POLL_S", 0.01)
    install()
    with pytest.raises(AudioError, match=r"^USB mic: the device is gone$"):
        list(Microphone().pieces())


@pytest.mark.parametrize("wanted", ["nothing", "7"])
def test_no_such_device(install, wanted: str) -> None:
    install()
    with pytest.raises(UsageError, match="--list-devices', received") as caught:
        Microphone(wanted)
    assert "\n" not in str(caught.value)


def test_no_device_at_all(install) -> None:
    install(default=-1)
    with pytest.raises(AudioError, match="no microphone was found"):
        Microphone()


def test_a_device_that_cannot_be_opened(install) -> None:
    install()
    with pytest.raises(AudioError) as caught:
        next(Microphone("0").pieces())
    assert str(caught.value) == "speaker: cannot be opened: Invalid number of channels [PaErrorCode -9998]"


@pytest.mark.parametrize(
    ("error", "command"),
    [(ImportError(), "pip install sounddevice"), (OSError("PortAudio library not found"), "libportaudio2")],
)
def test_what_is_missing_is_told_with_its_command(monkeypatch, error: Exception, command: str) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: object, **options: object) -> object:
        if name == "sounddevice":
            raise error
        return imported(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EngineError, match=command):
        devices()
