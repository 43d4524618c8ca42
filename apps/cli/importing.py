"""`script.py import`: label files that a person corrected, back into a manifest."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from audio.errors import ManifestError, ToolkitError, UsageError
from audio.labels import FAKE, LABELS, REAL, label_of
from audio.manifest import SPLITS, Clip, read_manifest, recordings_below, write_manifest
from audio.segments import SAMPLE_RATE, Segment, overlap, total, union

if TYPE_CHECKING:
    from audio.labelfiles import Labelled
    from audio.reading import Samples

HELP = "Read label files that you corrected into a manifest, for training and evaluating."

EXAMPLE = """\
examples:
  python script.py import outputs/call.txt --audio calls            an Audacity label track -> calls/manifest.jsonl
  python script.py import outputs/*.TextGrid --audio calls --split train
  python script.py import outputs/detections.csv --audio calls --out all.jsonl    a manifest above the recordings

Spans marked fake are what counts; without any the recording is real, and when they cover its speech it is fake. A
manifest that is there already keeps its other recordings. What cannot be used is told in one line; the exit status
is 1."""

LATE_SAMPLES = 800
"""How far a span may end behind its recording, 50 ms: editors round, and decoders differ in how they pad."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="LABELS", help=".csv, .jsonl, .rttm, .txt (Audacity), .TextGrid or .srt")
    add("--audio", type=Path, required=True, metavar="DIR", help="folder of the recordings")
    add("--out", type=Path, metavar="JSONL", help="the manifest, in DIR or above it (default: DIR/manifest.jsonl)")
    add("--format", metavar="NAME", help="csv, json, rttm, audacity, textgrid or srt (default: as the name says)")
    add("--split", choices=SPLITS, default="", help="what the recordings are for (default: not said)")
    add("--speaker", default="", metavar="NAME", help="who speaks in all of them (default: not said)")


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest, and print what it holds.

    Returns
    -------
    0, or 1 when a label file or a recording could not be used.

    Raises
    ------
    UsageError
        When there is no such folder, or the manifest would not be above the recordings.
    ManifestError
        When the manifest that is there is broken, or cannot be written.
    """
    if not arguments.audio.is_dir():
        raise UsageError(f"--audio: expected a folder, received {arguments.audio}")
    out = arguments.out or arguments.audio / "manifest.jsonl"
    if not arguments.audio.resolve().is_relative_to(out.resolve().parent):
        raise UsageError(f"--out: expected a manifest in {arguments.audio} or above it, received {out}")
    clips = {clip.path: clip for clip in read_manifest(out)} if out.exists() else {}
    recordings = sorted(recordings_below(arguments.audio))
    status = 0
    imported: list[Clip] = []
    for file in arguments.files:
        found, failed = _imported(file, arguments, out, recordings)
        imported += found
        status = max(status, failed)
    clips.update({clip.path: clip for clip in imported})
    if imported:
        write_manifest(out, list(clips.values()))
    counts = Counter(clip.label for clip in imported)
    print(", ".join(f"{label} {counts[label]}" for label in LABELS), f"-> {out}" if imported else "-> nothing written")
    return status


def _imported(file: Path, arguments: argparse.Namespace, out: Path, recordings: list[Path]) -> tuple[list[Clip], int]:
    """Return the clips that a label file tells of, and the exit status."""
    from audio.labelfiles import read_labels

    clips, status = [], 0
    try:
        labelled = read_labels(file, format=arguments.format)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return [], 2 if isinstance(error, UsageError) else 1
    for each in labelled:
        try:
            recording = _recording(each.path or file.stem, arguments.audio, recordings)
            clip = _clip(each, recording, out)
            clips.append(replace(clip, split=arguments.split, speaker=arguments.speaker))
        except ToolkitError as error:
            _log.error("error: %s: %s", file, error)
            status = 1
    return clips, status


def _recording(name: str, folder: Path, recordings: list[Path]) -> Path:
    """Find the recording that a label file means: by its path, else by its file's name with or without suffix.

    Raises
    ------
    ManifestError
        When there is none, or more than one.
    """
    beside, anywhere = (folder / name).resolve(), Path(name).resolve()
    for place in recordings:
        if place.resolve() in (beside, anywhere):
            return place
    wanted = PurePosixPath(name.replace("\\", "/")).name
    matches = [p for p in recordings if p.name == wanted] or [p for p in recordings if p.stem == wanted]
    if len(matches) != 1:
        raise ManifestError(f"{name}: expected one such recording below {folder}, found {len(matches)}")
    return matches[0]


def _clip(labelled: Labelled, recording: Path, out: Path) -> Clip:
    """Make a clip of what a label file says of a recording.

    Raises
    ------
    ManifestError
        For labels of a single channel, or spans behind the recording's end.
    AudioError
        When the recording cannot be read.
    """
    from audio.reading import read

    if labelled.channel is not None:
        expected = f"labels of a whole recording, received channel {labelled.channel}"
        raise ManifestError(f"{labelled.path}: expected {expected}")
    samples = read(recording)
    spans = _fake_spans(labelled, len(samples))
    label = _label(spans, samples)
    if labelled.label and labelled.label != label:
        _log.info("%s: its spans say %s, not %s: taken as %s", recording, label, labelled.label, label)
    path = recording.resolve().relative_to(out.resolve().parent).as_posix()
    return Clip(path, label, tuple(spans), len(samples))


def _fake_spans(labelled: Labelled, n_samples: int) -> list[Segment]:
    fake = union(span for span in labelled.spans if span.label == FAKE)
    if not labelled.spans and labelled.label == FAKE:
        return [Segment(0, n_samples)] if n_samples else []
    if late := [span for span in fake if span.offset > n_samples + LATE_SAMPLES or span.onset >= n_samples]:
        expected = f"spans within {n_samples / SAMPLE_RATE:.3f} s"
        raise ManifestError(f"expected {expected}, received {late[0].onset_s:g}-{late[0].offset_s:g} s")
    return [replace(span, offset=min(span.offset, n_samples)) for span in fake]


def _label(spans: list[Segment], samples: Samples) -> str:
    """The class that spans give a recording: of its speech, or of all of it where there is none."""
    from audio.cleaning import FRAME_HOP_SAMPLES, speech_frames
    from audio.segments import from_frames

    if not spans:
        return REAL
    speech = from_frames(speech_frames(samples, hop_samples=FRAME_HOP_SAMPLES), FRAME_HOP_SAMPLES, len(samples))
    heard = speech if overlap(spans, speech) else [Segment(0, len(samples))]
    return label_of(overlap(spans, heard), total(heard))
