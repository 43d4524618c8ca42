"""`script.py check`: does a verdict hold when the recording is coded again, turned down, cut or filtered?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.cli.options import FOUND, add_model, add_operating_point, add_runtime
from audio.errors import ToolkitError
from audio.labels import LABELS
from audio.manifest import Clip
from audio.segments import Segment, overlap, total

if TYPE_CHECKING:
    from audio.reading import Samples
    from model.judging.detector import Detection, Detector

HELP = "Judge a recording again after twelve changes that make nothing fake, and show whether the verdict holds."

EXAMPLE = """\
examples:
  python script.py check interview.wav
  python script.py check interview.wav --json                       one JSON object a change
  python script.py check upload.mp3 --fail-on-change                exit status 3 when a verdict changes

The changes are those of `evaluate --stress`: codecs, noise, a room, speed, level, trimmed ends, a telephone's band. A
verdict that falls with the first of them was not worth much; one that holds may still be wrong."""

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Held:
    """What became of a verdict after one change."""

    change: str
    words: str
    label: str | None
    """None: not judged any more."""
    p_real: float | None
    holds: bool
    same_spans: float | None
    """Share of the fake seconds, of then and now together, that are fake both times; None where there are none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("clip", metavar="CLIP", help="a recording, in any audio or video format")
    add_model(parser)
    add_operating_point(parser)
    add_runtime(parser)
    add("--seed", type=int, default=0, metavar="N", help="of the noise (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object a change instead of a table")
    add("--fail-on-change", action="store_true", help=f"exit with {FOUND} when a verdict changes")


def run(arguments: argparse.Namespace) -> int:
    """Judge the recording as it is and after each change, and print what became of the verdict.

    Returns
    -------
    0, or 3 when a verdict changed and `--fail-on-change` was given.

    Raises
    ------
    ToolkitError
        When the recording cannot be read or judged, there is no usable model, or ffmpeg is missing.
    """
    from audio.pages import Table, table_text
    from audio.reading import read
    from model.judging.detector import Detector

    detector = Detector(arguments.model, operating_point=arguments.operating_point, runtime=arguments.runtime)
    samples = read(arguments.clip)
    first = detector.detect(samples)
    if first.label is None:
        raise ToolkitError(f"{arguments.clip}: is not judged as it is ({', '.join(first.reasons)}): nothing to check")
    changed = 0
    rows = []
    for held in _all(samples, first, detector, arguments):
        changed += not held.holds
        if arguments.json:
            print(json.dumps({"schema_version": SCHEMA_VERSION, "path": arguments.clip, **asdict(held)}), flush=True)
        rows.append(_cells(held))
    if not arguments.json:
        marked = frozenset(number for number, row in enumerate(rows) if row[4] == "changed")
        header = ("change", "what it does", "verdict", "P(real)", "", "same spans")
        print(table_text(Table(header, tuple(rows), marked, frozenset({1, 2, 4}))))
        print(f"{len(rows) - 1 - changed} of {len(rows) - 1} changes leave the verdict: {first.label}")
    return FOUND if changed and arguments.fail_on_change else 0


def _all(samples: Samples, first: Detection, detector: Detector, arguments: argparse.Namespace) -> Iterator[Held]:
    """Yield the verdict on the recording as it is, and after each change."""
    from tqdm import tqdm

    from apps.stress import CORRUPTIONS, corrupt

    said = Clip(Path(arguments.clip).name, first.label or LABELS[0], first.spans, len(samples))
    yield _held("as it is", "", first, first, first.spans)
    for name, corruption in tqdm(CORRUPTIONS.items(), desc="changes", disable=None):
        worse = corrupt(samples, said, name=name, seed=arguments.seed)
        yield _held(name, corruption.words, detector.detect(worse.samples), first, worse.clip.segments)


def _held(name: str, words: str, found: Detection, first: Detection, moved: Sequence[Segment]) -> Held:
    """Compare a verdict with the first one, whose spans were moved as the recording was."""
    both = overlap(found.spans, moved)
    either = total([*found.spans, *moved])
    p_real = found.probabilities[LABELS[0]]
    return Held(name, words, found.label, p_real, found.label == first.label, both / either if either else None)


def _cells(held: Held) -> tuple[str, ...]:
    return (
        held.change,
        held.words,
        held.label or "not judged",
        "-" if held.p_real is None else f"{held.p_real:.2f}",
        "holds" if held.holds else "changed",
        "-" if held.same_spans is None else f"{held.same_spans:.0%}",
    )
