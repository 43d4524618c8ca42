"""`script.py detect`: judge one or more recordings."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.cli.options import ABSTAINED, FOUND, LISTS, add_model, add_operating_point, add_runtime, add_said, some_of
from audio.errors import AudioError, ToolkitError, UsageError
from audio.labels import HYBRID, LABELS
from audio.messages import listing, reason_text, text, warning_text

if TYPE_CHECKING:
    from audio.labelfiles import Labelled
    from audio.reading import FileFacts, Samples
    from model.judging.detector import Detection, Detector
    from model.judging.explain import Explanation

HELP = "Judge recordings: the verdict, how probable it is, and where the fake spans are."

EXAMPLE = """\
examples:
  python script.py detect interview.wav --plot              verdict, and the picture outputs/interview.png
  python script.py detect calls/*.mp3 --json                one JSON object per recording
  python script.py detect call.wav --channels each          the two sides of a call, each on its own
  python script.py detect a.wav --format audacity,textgrid  labels to listen to and to correct, in outputs/
  python script.py detect upload.mp3 --quiet --fail-on fake,hybrid    only the exit status: 3 when it is one
  python script.py detect interview.wav --report record.html    a page to keep: verdict, sound, spans, hashes
  python script.py detect interview.wav --explain            which parts of the spectrogram carried it, as a picture
  python script.py detect voice.m4a --model runs/mine       the model of a run of your own

A recording that cannot be read does not stop the others: its line goes to stderr (with --json also a row
{schema_version, path, error} to stdout), and the exit status is 1."""

OUTPUTS = Path("outputs")
"""Where pictures and label files go unless told otherwise."""

LABELS_NAME = "detections"
"""Name of the label files that hold all recordings."""

MOST_NAMED_SPANS = 6
"""More spans than these are counted in the sentence, not named; each has a line of its own below."""

BOLD, PLAIN = "\033[1m", "\033[0m"

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="a recording, in any audio or video format")
    add_model(parser)
    add_operating_point(parser)
    add_runtime(parser)
    parser.add_argument(
        "--channels",
        choices=("mean", "each"),
        default="mean",
        help="judge the mean of the channels, or each on its own (default: %(default)s)",
    )
    add_said(parser, json="print one JSON object per line instead of words")
    parser.add_argument(
        "--format",
        type=_formats,
        default=(),
        metavar="A,B",
        help="write label files too: csv, json, rttm, audacity, textgrid, srt",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="HTML",
        help="write a page that plays and shows one recording, with all facts and hashes; opens offline",
    )
    parser.add_argument("--plot", action="store_true", help="save a picture of each recording")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="tell which parts of the spectrogram carry the spans judged fake, or else all speech, in words and in a"
        " picture, also in --report; takes about a second for each second of that, and goes no further than a minute",
    )
    parser.add_argument("--show", action="store_true", help="show the picture in a window")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for pictures and label files; without --format or --explain it implies --plot"
        f" (default: {OUTPUTS})",
    )


def _formats(text: str) -> tuple[str, ...]:
    from audio.labelfiles import FORMATS

    return some_of(text, tuple(FORMATS))


def run(arguments: argparse.Namespace) -> int:
    """Judge the clips one after the other.

    Returns
    -------
    0; 1 when one of them failed; 3 when a verdict is one that `--fail-on` asked for.

    Raises
    ------
    UsageError
        For `--json` and `--quiet` together, or `--explain` with a model that is no network.
    ModelError
        There is no usable model.
    """
    if arguments.json and arguments.quiet:
        raise UsageError("detect: expected --json or --quiet, received both")
    if arguments.report is not None and len(arguments.clips) > 1:
        raise UsageError(f"--report: expected one recording, received {len(arguments.clips)}")
    from model.judging.detector import Detector

    detector = Detector(arguments.model, operating_point=arguments.operating_point, runtime=arguments.runtime)
    if arguments.explain:
        detector.bundle.require_network("--explain")
    out = arguments.out or OUTPUTS
    status, judged = 0, []
    for clip, name in zip(arguments.clips, _file_names(arguments.clips), strict=True):
        found, failed = _judge(clip, arguments, detector=detector, place=out / name)
        judged += [(clip, detection) for detection in found]
        status = max(status, failed)
    status = max(status, _write_labels(judged, arguments, out))
    asked = any((detection.label or ABSTAINED) in arguments.fail_on for _, detection in judged)
    return FOUND if asked else status


def _judge(clip: str, arguments: argparse.Namespace, *, detector: Detector, place: Path) -> tuple[list[Detection], int]:
    """Judge one clip, print the results and draw them if asked to; return them, and the exit status."""
    from audio.reading import inspect, read
    from model.judging.detector import SCHEMA_VERSION

    implied = arguments.out is not None and not (arguments.format or arguments.explain)
    wants_picture = arguments.plot or arguments.show or implied
    needs_samples = wants_picture or arguments.explain or arguments.report
    exhibits = []
    found: list[Detection] = []
    status = 0
    try:
        _expect_a_recording(clip)
        each, told = arguments.channels == "each", not (arguments.json or arguments.quiet)
        facts = inspect(clip) if each or told or arguments.report else None
        for channel in range(facts.channels) if facts and each else (None,):
            samples = read(clip, channel=channel) if needs_samples else None
            detection = detector.detect(clip if samples is None else samples, channel=channel)
            found.append(detection)
            _say(clip, facts, detection, arguments)
            if samples is None:
                continue
            picture = place.with_name(place.name + _behind(channel))
            explanation = None
            if arguments.explain:
                explanation, failed = _explain(clip, samples, detection, arguments, detector=detector, place=picture)
                status = max(status, failed)
            if facts and arguments.report:
                exhibits.append((facts, samples, detection, explanation))
            if wants_picture:
                picture = picture.with_name(picture.name + ".png")
                status = max(status, _draw(clip, samples, detection=detection, arguments=arguments, picture=picture))
    except ToolkitError as error:
        _log.error("error: %s", error)
        if arguments.json:
            print_row({"schema_version": SCHEMA_VERSION, "path": clip, "error": str(error)})
        return found, 1
    return found, max(status, _report(clip, exhibits, arguments, detector))


def _expect_a_recording(clip: str) -> None:
    """Tell what to do instead to who names a folder, a list or an address; raises `AudioError`."""
    from audio.addresses import is_address

    many = f"for many files: python script.py scan {clip} --out results.csv"
    if os.path.isdir(clip):
        raise AudioError(f"{clip}: expected a recording, received a folder; {many}")
    if os.path.isfile(clip) and clip.lower().endswith(LISTS):
        raise AudioError(f"{clip}: expected a recording, received a list; {many}")
    if is_address(clip):
        raise AudioError(f"{clip}: expected a file, received a network address: download it first")


def _explain(
    clip: str,
    samples: Samples,
    detection: Detection,
    arguments: argparse.Namespace,
    *,
    detector: Detector,
    place: Path,
) -> tuple[Explanation | None, int]:
    """Say and draw what carried a verdict, as far as there is one; return that, and the exit status."""
    if detection.abstained:
        _log.info("%s: not judged, nothing to explain", clip)
        return None, 0
    from model.judging.explain import explanation_text
    from model.judging.plots import require_matplotlib, save_picture

    name = Path(clip).name
    picture = place.with_name(place.name + "-explained.png")
    try:
        require_matplotlib()  # now, and not when the work is done
        explanation = detector.explain(samples, detection, title=f"explaining {name}")
        words = explanation_text(explanation, detection.spans)
        if not (arguments.json or arguments.quiet):
            print(f"  {words}", flush=True)
        title = f"{name}: {sentence(detection)}\n{words}"
        save_picture(picture, samples, detection=detection, title=title, explanation=explanation)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return None, 1
    _log.info("explanation: %s", picture)
    return explanation, 0


def _report(
    clip: str,
    shown: list[tuple[FileFacts, Samples, Detection, Explanation | None]],
    arguments: argparse.Namespace,
    detector: Detector,
) -> int:
    """Write the page that was asked for; return the exit status."""
    if not shown:
        return 0
    from model.judging.report import Exhibit, write_report

    exhibits = [
        Exhibit(Path(clip), facts, samples, found, sentence(found), explanation)
        for facts, samples, found, explanation in shown
    ]
    settings = {"channels": arguments.channels, "runtime": arguments.runtime or "the model's own"}
    try:
        write_report(
            arguments.report, exhibits, bundle=detector.bundle, point=detector.operating_point, settings=settings
        )
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 1
    _log.info("report: %s", arguments.report)
    return 0


def _behind(channel: int | None) -> str:
    """What stands behind the name of a file that is about one channel."""
    return "" if channel is None else f"-channel{channel}"


def _say(clip: str, facts: FileFacts | None, detection: Detection, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_row(detection.to_row(clip))
    elif not arguments.quiet:
        print(describe(clip, detection, facts=facts, emphasis=may_colour()), flush=True)


def may_colour() -> bool:
    """Whether stdout is a terminal that may be sent more than text (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_row(row: dict[str, Any]) -> None:
    """Print one JSON line at once, so that a reader of the pipe need not wait for the batch to end."""
    print(json.dumps(row, allow_nan=False), flush=True)


def describe(clip: str, detection: Detection, *, facts: FileFacts | None = None, emphasis: bool = False) -> str:
    """Tell a result in words.

    Parameters
    ----------
    clip
        What to call the recording.
    detection
        The result.
    facts
        What its file says of itself, where it has one.
    emphasis
        Whether the verdict is set in bold, for terminals.

    Returns
    -------
    Lines: the recording, the verdict, the three probabilities, each fake span, the facts of the file, warnings.
    """
    channel = detection.channel
    lines = [clip if channel is None else text("channel", path=clip, channel=channel)]
    said = sentence(detection)
    lines.append(f"  {BOLD}{said}{PLAIN}" if emphasis else f"  {said}")
    if not detection.abstained:
        shares = [f"{label} {100 * (detection.probabilities[label] or 0.0):.1f} %" for label in LABELS]
        lines.append("  " + "   ".join(shares))
    lines += [f"  {line}" for line in (*_span_lines(detection), *_fact_lines(detection, facts))]
    lines += ["  " + text("mind", warning=warning_text(code)) for code in detection.warnings]
    return "\n".join(lines)


def sentence(detection: Detection) -> str:
    """Tell the verdict, or why there is none, in one sentence."""
    if detection.label is None:
        return text("abstained", reason=" and ".join(map(reason_text, detection.reasons)))
    spans = detection.segments
    fake_s = sum(span.end_s - span.start_s for span in spans)
    return text(
        "hybrid_one" if detection.label == HYBRID and len(spans) == 1 else detection.label,
        probability=detection.probabilities[detection.label],
        n_segments=len(spans),
        spans=listing([text("span", **span._asdict()) for span in spans], at_most=MOST_NAMED_SPANS),
        genuine=max(0.0, 1.0 - fake_s / detection.duration_s),
    )


def _span_lines(detection: Detection) -> Iterator[str]:
    for span in detection.segments:
        line = text("located", **span._asdict())
        if span.start_range_s and span.end_range_s:
            (first_s, last_s), (first_end_s, last_end_s) = span.start_range_s, span.end_range_s
            line += text("ends", first_s=first_s, last_s=last_s, first_end_s=first_end_s, last_end_s=last_end_s)
        yield line


def _fact_lines(detection: Detection, facts: FileFacts | None) -> Iterator[str]:
    if facts is not None:
        yield text("file", **vars(facts), rate_khz=facts.sample_rate / 1_000)
    quality = detection.quality
    if quality is not None and quality.bandwidth_hz is not None:
        noise = "" if quality.snr_db is None else text("noise", snr_db=quality.snr_db)
        yield text("sound", bandwidth_khz=quality.bandwidth_hz / 1_000) + noise


def _write_labels(judged: list[tuple[str, Detection]], arguments: argparse.Namespace, out: Path) -> int:
    """Write the label files that were asked for; return the exit status."""
    if not arguments.format:
        return 0
    from audio.labelfiles import FORMATS, write_labels

    labelled = [labels_of(clip, detection) for clip, detection in judged]
    names = _file_names(arguments.clips)
    places = {clip: names[k] for k, clip in reversed(list(enumerate(arguments.clips)))}
    try:
        for format in arguments.format:
            suffix = FORMATS[format].suffix
            if FORMATS[format].many:
                _written(out / f"{LABELS_NAME}{suffix}", labelled, format, write_labels)
                continue
            for each in labelled:
                path = out / f"{places[each.path]}{_behind(each.channel)}{suffix}"
                _written(path, [each], format, write_labels)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 1
    return 0


def _written(path: Path, labelled: list[Labelled], format: str, write: Any) -> None:
    write(path, labelled, format=format)
    _log.info("labels: %s", path)


def labels_of(clip: str, detection: Detection) -> Labelled:
    """Turn a result into what label files hold of it; an abstention has no label."""
    from audio.labelfiles import Labelled
    from audio.segments import SAMPLE_RATE

    n_samples = round(detection.duration_s * SAMPLE_RATE)
    return Labelled(clip, detection.spans, n_samples, detection.label or "", detection.channel)


def _draw(clip: str, samples: Samples, *, detection: Detection, arguments: argparse.Namespace, picture: Path) -> int:
    """Save and show the picture as far as that was asked for; return the exit status."""
    if len(samples) == 0:
        _log.info("%s: no samples, no picture", clip)
        return 0
    from model.judging.plots import save_picture, show_picture

    title = f"{Path(clip).name}: {sentence(detection)}"
    try:
        if arguments.plot or arguments.out is not None:
            save_picture(picture, samples, detection=detection, title=title)
            _log.info("picture: %s", picture)
        if arguments.show:
            show_picture(samples, detection=detection, title=title)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 1
    return 0


def _file_names(clips: Iterable[str]) -> list[str]:
    """Name what is written about each clip after its file; clips of the same name get -2, -3 and so on behind it."""
    names: list[str] = []
    for clip in clips:
        stem = Path(clip).stem
        tries = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        names.append(next(name for name in tries if name not in names))
    return names
