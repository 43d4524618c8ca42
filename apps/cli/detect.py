"""`script.py detect`: judge one or more recordings."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audio.errors import ToolkitError
from audio.labels import LABELS
from audio.messages import reason_text, text, warning_text

if TYPE_CHECKING:
    from audio.reading import Samples
    from model.judging.detector import Detection, Detector

HELP = "Judge recordings: the verdict, how probable it is, and where the fake spans are."

EXAMPLE = """\
examples:
  python script.py detect interview.wav --plot        verdict, and the picture outputs/interview.png
  python script.py detect calls/*.mp3 --json          one JSON object per recording
  python script.py detect voice.m4a --model runs/mine the model of a run of your own

A recording that cannot be read does not stop the others: its line goes to stderr (with --json also a row
{schema_version, path, error} to stdout), and the exit status is 1."""

PICTURES = Path("outputs")
"""Where pictures go unless told otherwise."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="a recording, in any audio or video format")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="BUNDLE",
        help="folder of a model (default: the shipped one, else the newest run)",
    )
    parser.add_argument(
        "--operating-point",
        metavar="NAME",
        help="how much evidence an accusation needs: one of the model's (default: its first)",
    )
    parser.add_argument(
        "--runtime", metavar="NAME", help="what runs the network: onnx or litert (default: what the model is for)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line instead of words")
    parser.add_argument("--plot", action="store_true", help="save a picture of each recording")
    parser.add_argument("--show", action="store_true", help="show the picture in a window")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder for the pictures, implies --plot (default: {PICTURES})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge the clips one after the other; return 0, or 1 when one of them failed.

    Raises
    ------
    ModelError
        There is no usable model.
    """
    from model.judging.detector import Detector

    detector = Detector(arguments.model, operating_point=arguments.operating_point, runtime=arguments.runtime)
    pictures = _picture_paths(arguments.clips, arguments.out or PICTURES)
    statuses = [
        _judge(clip, arguments, detector=detector, picture=picture)
        for clip, picture in zip(arguments.clips, pictures, strict=True)
    ]
    return max(statuses)


def _judge(clip: str, arguments: argparse.Namespace, *, detector: Detector, picture: Path) -> int:
    """Judge one clip, print the result and draw it if asked to; return its exit status."""
    from audio.reading import read
    from model.judging.detector import SCHEMA_VERSION

    try:
        samples = read(clip)
        detection = detector.detect(samples)
    except ToolkitError as error:
        _log.error("error: %s", error)
        if arguments.json:
            _print_row({"schema_version": SCHEMA_VERSION, "path": clip, "error": str(error)})
        return 1
    if arguments.json:
        _print_row(detection.to_row(clip))
    else:
        print(describe(clip, detection), flush=True)
    return _draw(clip, samples, detection=detection, arguments=arguments, picture=picture)


def _print_row(row: dict[str, Any]) -> None:
    """Print one JSON line at once, so that a reader of the pipe need not wait for the batch to end."""
    print(json.dumps(row, allow_nan=False), flush=True)


def describe(clip: str, detection: Detection) -> str:
    """Tell a result in words: the verdict, the three probabilities, and a line for each fake span."""
    lines = [clip, f"  {_sentence(detection)}"]
    if not detection.abstained:
        shares = [f"{label} {100 * (detection.probabilities[label] or 0.0):.1f} %" for label in LABELS]
        lines.append("  " + "   ".join(shares))
    lines += [f"  mind: {warning_text(code)}" for code in detection.warnings]
    for span in detection.segments:
        lines.append(f"  {span.label} {span.start_s:.2f}-{span.end_s:.2f} s, confidence {span.confidence:.2f}")
    return "\n".join(lines)


def _sentence(detection: Detection) -> str:
    if detection.label is None:
        return text("abstained", reason=" and ".join(map(reason_text, detection.reasons)))
    return text(
        detection.label,
        probability=detection.probabilities[detection.label],
        n_segments=len(detection.segments),
        fake_s=sum(span.end_s - span.start_s for span in detection.segments),
    )


def _draw(clip: str, samples: Samples, *, detection: Detection, arguments: argparse.Namespace, picture: Path) -> int:
    """Save and show the picture as far as that was asked for; return the exit status."""
    save = arguments.plot or arguments.out is not None
    if not (save or arguments.show):
        return 0
    if len(samples) == 0:
        _log.info("%s: no samples, no picture", clip)
        return 0
    from model.judging.plots import save_picture, show_picture

    title = f"{Path(clip).name}: {_sentence(detection)}"
    try:
        if save:
            save_picture(picture, samples, detection=detection, title=title)
            _log.info("picture: %s", picture)
        if arguments.show:
            show_picture(samples, detection=detection, title=title)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 1
    return 0


def _picture_paths(clips: Iterable[str], folder: Path) -> list[Path]:
    """Name a picture for each clip after its file; clips of the same name get -2, -3 and so on behind it."""
    names: list[str] = []
    for clip in clips:
        stem = Path(clip).stem
        tries = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        names.append(next(name for name in tries if name not in names))
    return [folder / f"{name}.png" for name in names]
