"""Make a folder of anybody's recordings fit to build from: cut, trim, clean, level, reject, vary.

Two passes over the recordings. The first cuts each into clips and measures them; then, from all measures together,
it is decided which are rejected; the second writes the others. Both keep a journal: a run that was stopped goes on
when it is started again with the same arguments, and ends with the same files. Nothing in a clip depends on the
number of processes or the order of the files.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from audio import jobs
from audio.atomic import replacing
from audio.errors import EngineError, ToolkitError, UsageError
from audio.executors import Workers
from audio.ffmpeg import ffmpeg_version, find_ffmpeg
from audio.locking import LOCK, alone_in
from audio.manifest import Clip, read_manifest, write_manifest
from synth.augment import choose_variation
from synth.intake import Intake, Names, list_recordings, stems
from synth.preparation import Preparation, Take, measure_recording, write_takes
from synth.quality import Measures
from synth.rejection import REPORT, Judged, Piece, judge, write_report
from synth.sounds import SoundFolder, list_sounds
from synth.voices import MANIFEST

PREPARED_FILE = "prepared.json"
PREPARED_VERSION = 1
"""Version of the format of `prepared.json`."""

JOURNALS = (".measured.jsonl", ".made.jsonl")
"""What is finished of either pass; gone when the folder is complete."""

PACKAGES = (
    *("numpy", "scipy", "soundfile", "soxr"),
    *("noisereduce", "pyloudnorm", "PyWavelets", "pyworld", "webrtcvad-wheels"),
)
"""Whose versions decide the bytes of the clips."""


@dataclass(frozen=True)
class Outcome:
    """What came of a folder."""

    clips: list[Clip]
    """What was written, as in the manifest."""
    rejected: list[str]
    """One line for each clip that was rejected, and why."""
    failed: list[str]
    """One line for each recording that could not be used at all."""


def prepare_folder(
    recordings: Path, out: Path, *, preparation: Preparation, noise: Path | None = None, workers: Workers = 1
) -> Outcome:
    """Prepare the recordings of a folder, or go on with it.

    Parameters
    ----------
    recordings
        Folder of recordings in any format; the first subfolder is the speaker, see `synth.intake`.
    out
        Where the clips go: WAV, 16 kHz, mono, 16 bits, under the recordings' names, with `manifest.jsonl` (from
        which `build --real` takes the speakers), `report.csv` and `prepared.json`.
    preparation
        What is done to them.
    noise
        Folder of noise recordings for the copies; None generates it.
    workers
        Number of processes, or another place to work; the bytes do not depend on it.

    Raises
    ------
    UsageError
        When `out` holds something else, lies in `recordings`, or is being written into.
    ManifestError
        When `recordings` holds no recording, or its manifest is broken.
    ToolkitError
        When the disk is full. What is finished is kept.
    """
    if out.resolve().is_relative_to(recordings.resolve()):
        raise UsageError(f"{out}: expected a folder outside {recordings}: what is in there is prepared")
    intake = list_recordings(recordings)
    sounds = list_sounds(noise) if noise is not None and preparation.n_copies else None
    job = _Job(recordings, out, preparation, sounds)
    with alone_in(out):
        try:
            facts = _facts(job, intake)
            return _earlier(out, facts) or _prepare(job, intake, facts=facts, workers=workers)
        except OSError as error:
            raise ToolkitError(f"{out}: cannot be written: {error.strerror}; the same command goes on") from None


@dataclass(frozen=True)
class _Job:
    """What one call of `prepare_folder` works on."""

    root: Path
    out: Path
    preparation: Preparation
    sounds: SoundFolder | None


def _facts(job: _Job, intake: Intake) -> dict[str, Any]:
    """Return everything that decides the result."""
    try:
        ffmpeg = ffmpeg_version(find_ffmpeg())
    except EngineError:
        ffmpeg = ""  # few formats need it: the files of all others are prepared without
    return {
        "schema_version": PREPARED_VERSION,
        "preparation": asdict(job.preparation),
        "recordings_sha256": _digest([_identity(job.root, clip) for clip in intake.recordings]),
        "noise_sha256": None if job.sounds is None else _digest(job.sounds.to_json()),
        "packages": {name: _version(name) for name in PACKAGES},
        "ffmpeg": ffmpeg,
        "machine": platform.machine(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise EngineError(f"{package} is not installed: pip install {package}") from None


def _identity(root: Path, clip: Clip) -> list[Any]:
    """Return what tells a recording from a changed one, without reading it."""
    try:
        facts = (root / clip.path).stat()
        return [clip.path, clip.speaker, facts.st_size, facts.st_mtime_ns]
    except OSError:
        return [clip.path, clip.speaker]


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _earlier(out: Path, facts: Mapping[str, Any]) -> Outcome | None:
    """Return what the same run came to earlier, if it did; refuse a folder that holds anything else."""
    if (out / PREPARED_FILE).exists():
        found = json.loads((out / PREPARED_FILE).read_text("utf-8"))
        if {name: found.get(name) for name in facts} == facts:
            return Outcome(read_manifest(out / MANIFEST), found["rejected"], found["failed"])
        raise UsageError(f"{out}: holds other prepared recordings: choose another folder, or remove it")
    begun = (out / JOURNALS[0]).exists()
    if not begun and any(path.name != LOCK for path in out.iterdir()):
        raise UsageError(f"{out}: expected an empty or absent folder, found other files: choose another")
    return None


def _prepare(job: _Job, intake: Intake, *, facts: Mapping[str, Any], workers: Workers) -> Outcome:
    run = partial(jobs.run, workers=workers, settings=json.dumps(facts, sort_keys=True))
    names = [clip.path for clip in intake.recordings]
    measuring = partial(measure_recording, root=job.root, trim=job.preparation.trim)
    measured = list(run(measuring, names, key=str, journal=job.out / JOURNALS[0], title="measuring"))
    failed = dict(intake.unusable) | _failed(names, measured)

    pieces = [piece for name, rows in zip(names, measured, strict=True) for piece in _pieces(name, rows)]
    speakers = {clip.path: clip.speaker for clip in intake.recordings}
    judged = judge(pieces, speakers, keep_outliers=job.preparation.keep_outliers)

    orders = [list(takes) for _, takes in groupby(_takes(judged, names, job=job), key=_recording)]
    names = [_recording(takes[0]) for takes in orders]
    writing = partial(write_takes, **vars(job))
    journal = job.out / JOURNALS[1]
    written = list(run(writing, orders, key=lambda takes: _recording(takes[0]), journal=journal, title="preparing"))
    failed |= _failed(names, written)

    rows = [row for row in chain.from_iterable(written) if "failed" not in row]
    clips = list(_clips(rows, intake, seed=job.preparation.seed))
    return _finish(job.out, facts, clips=clips, judged=judged, failed=failed)


def _failed(names: Sequence[str], rows: Sequence[list[jobs.Row]]) -> dict[str, str]:
    """Return the line of each recording that failed."""
    return {name: row["failed"] for name, own in zip(names, rows, strict=True) for row in own if "failed" in row}


def _pieces(name: str, rows: Sequence[jobs.Row]) -> Iterator[Piece]:
    for i, row in enumerate(row for row in rows if "failed" not in row):
        whole, kept = ((span[0], span[1]) for span in (row["whole"], row["kept"]))
        yield Piece(name, i, whole, kept, Measures(**row["measures"]))


def _takes(judged: Sequence[Judged], recordings: Sequence[str], *, job: _Job) -> Iterator[Take]:
    """Name the clips that are kept, and draw how their copies are varied; recording by recording, in order."""
    names, called = Names(), stems(recordings)
    n_pieces = Counter(entry.piece.recording for entry in judged)
    for piece in (entry.piece for entry in judged if entry.kept):
        stem = called[piece.recording]
        if n_pieces[piece.recording] > 1:
            stem += f"_{piece.index + 1:03d}"
        path = names.free(stem)
        # From what is copied, not from its place in a list: other recordings change nothing.
        streams = [(_hash(piece.recording), piece.whole[0], k) for k in range(job.preparation.n_copies)]
        rngs = [np.random.default_rng((job.preparation.seed, *stream)) for stream in streams]
        copies = [(names.free(f"{stem}_v{k}"), choose_variation(rng, job.sounds)) for k, rng in enumerate(rngs, 1)]
        yield Take(piece, path, tuple(copies))


def _recording(take: Take) -> str:
    return take.piece.recording


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def _clips(rows: Sequence[jobs.Row], intake: Intake, *, seed: int) -> Iterator[Clip]:
    """Return the clips of the manifest: who speaks and what is known of a recording holds for its clips."""
    known = {clip.path: replace(clip, segments=(), text="", sources=()) for clip in intake.recordings}
    for row in rows:
        source = row["source"]
        yield replace(known[source["path"]], path=row["path"], n_samples=row["n_samples"], sources=(source,), seed=seed)


def _finish(
    out: Path, facts: Mapping[str, Any], *, clips: list[Clip], judged: Sequence[Judged], failed: Mapping[str, str]
) -> Outcome:
    """Write the tables and, last, what makes the folder complete."""
    judged = [entry for entry in judged if entry.piece.recording not in failed]
    outcome = Outcome(clips, [str(entry) for entry in judged if not entry.kept], list(failed.values()))
    for leftover in out.rglob(".*.part"):
        leftover.unlink(missing_ok=True)
    write_report(out / REPORT, judged, failed=failed)
    write_manifest(out / MANIFEST, clips)
    told = {**facts, "rejected": outcome.rejected, "failed": outcome.failed}
    with replacing(out / PREPARED_FILE) as beside:
        beside.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")
    for journal in JOURNALS:
        (out / journal).unlink(missing_ok=True)
    return outcome
