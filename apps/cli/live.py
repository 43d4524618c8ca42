"""`script.py live`: judge what a microphone hears, or what a pipe or a network address brings, while it comes."""

from __future__ import annotations

import argparse
import logging
import math
import os
import shutil
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from apps.cli.detect import describe, may_colour, print_row
from apps.cli.options import ABSTAINED, FOUND, add_model, add_operating_point, add_runtime, add_said
from audio.errors import AudioError, EngineError, ToolkitError, UsageError
from audio.messages import listing, reason_text, text
from audio.segments import SAMPLE_RATE, Segment

if TYPE_CHECKING:
    from audio.hearing import RawFormat
    from audio.keeping import Keep
    from audio.reading import Samples
    from model.judging.detector import Detection
    from model.judging.live import Glimpse, Live

HELP = "Judge a microphone, or sound from a pipe or a network address, while it comes."

EXAMPLE = """\
examples:
  python script.py live                                     the microphone, until Ctrl-C
  python script.py live --list-devices                      the inputs of this machine
  python script.py live --device USB --save call.flac       another input, and keep what was heard
  arecord -q -f S16_LE -r 16000 | python script.py live - --raw s16le:16000:1
  cat upload.mp3 | python script.py live - --json           anything that ffmpeg reads from a pipe
  python script.py live rtsp://192.168.1.9/door --allow-network --seconds 60 --fail-on fake,hybrid

Twice a second it says what it thinks by now: the verdict that detect would give of what was heard so far, or of the
last 30 s, which later sound may change. A span is printed as final once no window to come can move its ends. At the
end, by Ctrl-C, --seconds or the end of the sound, comes the verdict on the whole: what detect says of the same samples
at 16 kHz. It shows the spans that agree with it, none when it is real. With --save the samples that are judged are
those of the file, so that detect FILE says the same again. --json prints one row twice a second, and a last one: those
of detect with `live` beside, where final is true in the last one, onset_s is where the part begins that the row is
about, frames before final_s are final, final_segments became so with this row, and overflows counts lost sound.
A container is read without going back, so M4A and MP4 files with their index at the end cannot come through a pipe.
The sound stays on this machine.
exit status: 0 ran, 1 something failed, 2 wrong usage, 3 found what --fail-on asked for."""

UPDATE_SAMPLES = SAMPLE_RATE // 2
"""How often to say what can be said: with half a second of waiting, a second is kept for a busy machine."""

ENDINGS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
"""Signals that end the sound: Ctrl-C, a polite kill, and a terminal that was closed."""

METER_WIDTH, METER_FLOOR_DBFS = 12, -60.0
"""The level meter: this many signs, from here to full scale."""

MOST_SPANS = 3
"""So many spans, the latest ones, stand in a line."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("source", nargs="?", metavar="SOURCE", help="- for standard input, or a network address (default: microphone)")
    add("--device", metavar="NAME", help="index of an input, or a part of its name (default: the system's own choice)")
    add("--list-devices", action="store_true", help="list the inputs of this machine and end")
    add(
        "--raw",
        type=_raw,
        metavar="FORMAT",
        help="standard input has no header: TYPE[:RATE[:CHANNELS]], as in s16le:16000:1; types as ffmpeg calls them: "
        "u8, s16le, s16be, s32le, s32be, f32le, f32be",
    )
    add("--allow-network", action="store_true", help="open a network address: http(s), rtmp(s), rtsp, srt, tcp, udp")
    add("--seconds", type=_seconds, metavar="N", help="end after so much sound")
    add("--save", type=Path, metavar="FILE", help="keep what was heard, 16 kHz mono 16-bit: a .wav or .flac")
    add_model(parser)
    add_operating_point(parser)
    add_runtime(parser)
    add_said(parser, json="print one JSON object twice a second, and one at the end, instead of words")


def _raw(text: str) -> RawFormat:
    from audio.hearing import RawFormat

    try:
        return RawFormat.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and round(seconds * SAMPLE_RATE) >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, received {text!r}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Listen until the end and tell what is heard.

    Returns
    -------
    0; 1 when the sound failed; 3 when the verdict on the whole is one that `--fail-on` asked for.

    Raises
    ------
    UsageError
        For arguments that cannot go together.
    ToolkitError
        When there is no usable model, no microphone, or nothing can be written where `--save` says.
    """
    if arguments.json and arguments.quiet:
        raise UsageError("live: expected --json or --quiet, received both")
    if arguments.list_devices:
        print(_device_table())
        return 0
    from audio.keeping import keeping, not_keeping
    from model.judging.detector import Detector
    from model.judging.live import Live

    source = _source(arguments)
    detector = Detector(arguments.model, operating_point=arguments.operating_point, runtime=arguments.runtime)
    with _Ending() as ending, keeping(arguments.save) if arguments.save else not_keeping() as keep:
        teller = _teller(source.name, arguments)
        session = _Session(Live(detector), source, keep, teller)
        status = session.run(ending, at_most=_n_samples(arguments.seconds))
        if status and not session.n_samples:
            return status
        detection = session.finish()
    teller.end(detection, source.overflows)
    if arguments.save and session.n_samples and not arguments.quiet:
        _log.info("saved: %s", arguments.save)
    return FOUND if (detection.label or ABSTAINED) in arguments.fail_on else status


def _n_samples(seconds: float | None) -> int:
    return sys.maxsize if seconds is None else round(seconds * SAMPLE_RATE)


def _device_table() -> str:
    from audio.microphone import devices
    from audio.pages import Table, table_text

    inputs = devices()
    rows = tuple((str(d.index), d.name, str(d.channels), str(d.rate_hz)) for d in inputs)
    marked = frozenset(number for number, device in enumerate(inputs) if device.is_default)
    return table_text(Table(("index", "input (* taken by default)", "channels", "Hz"), rows, marked, frozenset({1})))


# Where the sound comes from.


class Source(Protocol):
    """Something that gives sound while it comes."""

    name: str
    overflows: int
    """How many times sound was lost."""

    def pieces(self) -> Generator[Samples]:
        """Yield float32 arrays (n,) at 16 kHz."""


class _Piped:
    """Standard input or a network address. Nothing is lost on the way: who writes waits, or says so himself."""

    overflows = 0

    def __init__(self, source: Any, raw: RawFormat | None, name: str) -> None:
        self._source, self._raw, self.name = source, raw, name

    def pieces(self) -> Generator[Samples]:
        from audio.hearing import heard

        return heard(self._source, raw=self._raw)


def _source(arguments: argparse.Namespace) -> Source:
    from audio.addresses import address_shown, is_address

    given: str | None = arguments.source
    if given is not None and arguments.device is not None:
        raise UsageError(f"--device: expected without a source, received {address_shown(given)!r} too")
    if given != "-" and arguments.raw is not None:
        raise UsageError("--raw: expected with standard input: script.py live - --raw FORMAT")
    if given is None:
        from audio.microphone import Microphone

        return Microphone(arguments.device)
    if given == "-":
        return _Piped(_stdin(), arguments.raw, "stdin")
    shown = address_shown(given)
    if not is_address(given):
        raise UsageError(f"{shown}: expected - or a network address; a file is judged by 'script.py detect FILE'")
    if not arguments.allow_network:
        raise UsageError(f"{shown}: a network address is opened only with --allow-network")
    return _Piped(given, None, shown)


def _stdin() -> Any:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input: expected sound from a pipe or a file, received a terminal")
    return sys.stdin.buffer


class _Ending:
    """Makes the first of the `ENDINGS` the end of the sound rather than of the program.

    A signal breaks off the waiting for sound at once, and nothing else: what is being judged or written is finished.
    The second one does what it always does.
    """

    def __init__(self) -> None:
        self._asked = self._waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Ending:
        if threading.current_thread() is threading.main_thread():  # no other one may
            wanted = [each for each in ENDINGS if signal.getsignal(each) != signal.SIG_IGN]  # nohup knows better
            self._before = {each: signal.signal(each, self._ask) for each in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def next(self, pieces: Iterator[Samples]) -> Samples | None:
        """Wait for the next piece; None at the end."""
        try:
            self._waiting = True
            piece = None if self._asked else next(pieces, None)
            self._waiting = False  # here, where a signal that comes too early is still caught
        except KeyboardInterrupt:
            return None
        finally:
            self._waiting = False
        return piece

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._restore()
        if self._waiting:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


# From sound to what is said.


class _Session:
    """One recording from its first sample to its last."""

    def __init__(self, live: Live, source: Source, keep: Keep, teller: Teller) -> None:
        self._live, self._source, self._keep, self._teller = live, source, keep, teller
        self._new: list[Samples] = []
        self._n_new = self._n_told = 0

    @property
    def n_samples(self) -> int:
        """How much came."""
        return self._live.n_samples + self._n_new

    def run(self, ending: _Ending, *, at_most: int) -> int:
        """Listen until the sound ends, fails, or is enough; return the exit status."""
        try:
            with closing(self._source.pieces()) as pieces:
                while self.n_samples < at_most and (piece := ending.next(pieces)) is not None:
                    self._take(piece[: at_most - self.n_samples])
        except (AudioError, EngineError) as error:
            self._teller.failed(error)
            return 1
        return 0

    def finish(self) -> Detection:
        """Hear the last samples and return the verdict on the whole."""
        self._hear()
        self._tell_losses()
        return self._live.finish()

    def _take(self, piece: Samples) -> None:
        self._new.append(self._keep(piece))
        self._n_new += len(piece)
        if self._n_new >= UPDATE_SAMPLES:
            level_dbfs = self._hear()
            self._tell_losses()
            self._teller.glimpse(self._live.so_far(), level_dbfs, self._source.overflows)

    def _hear(self) -> float:
        """Hear what is new and return its level."""
        import numpy as np

        new = np.concatenate([np.zeros(0, np.float32), *self._new])
        self._live.hear(new)
        self._new, self._n_new = [], 0
        power = float(np.square(new, dtype=np.float64).mean()) if new.size else 0.0
        return 10.0 * math.log10(power) if power > 0.0 else -math.inf

    def _tell_losses(self) -> None:
        if (n := self._source.overflows) > self._n_told:
            self._n_told = n
            with self._teller.aside():
                _log.warning(text("live_lost", n=n, now_s=self.n_samples / SAMPLE_RATE))


class Teller:
    """Tells nothing but errors."""

    def glimpse(self, glimpse: Glimpse, level_dbfs: float, overflows: int) -> None:
        """Tell what can be said by now, and how loud the last sound was."""

    def end(self, detection: Detection, overflows: int) -> None:
        """Tell the verdict on the whole."""

    def failed(self, error: ToolkitError) -> None:
        """Tell why there is no more sound."""
        with self.aside():
            _log.error("error: %s", error)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for a line on stderr."""
        yield


@dataclass
class _Rows(Teller):
    """Tells it to programs: JSON, one object a line."""

    name: str

    def glimpse(self, glimpse: Glimpse, level_dbfs: float, overflows: int) -> None:
        from model.judging.live import provisional_row

        print_row(provisional_row(glimpse, self.name, overflows=overflows))

    def end(self, detection: Detection, overflows: int) -> None:
        from model.judging.live import final_row

        print_row(final_row(detection, self.name, overflows=overflows))

    def failed(self, error: ToolkitError) -> None:
        from model.judging.detector import SCHEMA_VERSION

        super().failed(error)
        print_row({"schema_version": SCHEMA_VERSION, "path": self.name, "error": str(error)})


@dataclass
class _Words(Teller):
    """Tells it to people who read it later: a line when something has changed."""

    name: str
    _last: tuple[object, ...] = ()

    def glimpse(self, glimpse: Glimpse, level_dbfs: float, overflows: int) -> None:
        self._print_final(glimpse.final_spans)
        found = glimpse.detection
        told = (found.label, found.reasons, len(found.spans))
        if told != self._last:
            print(text("live", now_s=glimpse.n_samples / SAMPLE_RATE, verdict=_verdict(glimpse)), flush=True)
        self._last = told

    def end(self, detection: Detection, overflows: int) -> None:
        print(describe(self.name, detection, emphasis=may_colour()), flush=True)

    def _print_final(self, spans: tuple[Segment, ...]) -> None:
        for span in spans:
            facts = {"start_s": span.onset_s, "end_s": span.offset_s, "confidence": span.confidence}
            print(text("live_final", **facts), flush=True)


@dataclass
class _Terminal(_Words):
    """Tells it to people who look on: a line that is written over and over, and what stays above it."""

    _width: int = 0

    def glimpse(self, glimpse: Glimpse, level_dbfs: float, overflows: int) -> None:
        if glimpse.final_spans:
            self._wipe()
            self._print_final(glimpse.final_spans)
        facts = {"now_s": glimpse.n_samples / SAMPLE_RATE, "verdict": _verdict(glimpse)}
        line = text("live_level", bar=_bar(level_dbfs), level_dbfs=max(level_dbfs, -99.0), **facts)
        line = line[: shutil.get_terminal_size().columns - 1]  # a line that wraps could not be written over
        print("\r" + line.ljust(self._width), end="", flush=True)
        self._width = len(line)

    def end(self, detection: Detection, overflows: int) -> None:
        self._wipe()
        super().end(detection, overflows)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._wipe()
        yield

    def _wipe(self) -> None:
        print("\r" + " " * self._width, end="\r", flush=True)
        self._width = 0


def _teller(name: str, arguments: argparse.Namespace) -> Teller:
    if arguments.quiet:
        return Teller()
    if arguments.json:
        return _Rows(name)
    _log.info(text("live_begins", name=name))
    return _Terminal(name) if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else _Words(name)


def _verdict(glimpse: Glimpse) -> str:
    """What is thought by now, in half a line."""
    found = glimpse.detection
    if found.label is None:
        return text("live_waiting", reason=" and ".join(map(reason_text, found.reasons)))
    told = text("live_verdict", label=found.label, probability=found.probabilities[found.label])
    if glimpse.onset:
        told += text("live_part", part_s=found.duration_s)
    if found.segments:
        latest = found.segments[: -MOST_SPANS - 1 : -1]
        told += text("live_spans", spans=_spans(len(found.segments) - len(latest), [s._asdict() for s in latest]))
    return told


def _spans(n_more: int, latest: list[dict[str, Any]]) -> str:
    more = [text("more", n_more=n_more)] if n_more else []
    return listing([*(text("span", **span) for span in latest), *more], at_most=MOST_SPANS + 1)


def _bar(level_dbfs: float) -> str:
    share = 1.0 - max(min(level_dbfs, 0.0), METER_FLOOR_DBFS) / METER_FLOOR_DBFS
    return ("#" * round(share * METER_WIDTH)).ljust(METER_WIDTH, "-")
