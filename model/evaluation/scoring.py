"""Judging the clips of a set, each once: what was judged before with the same model is read from the journal.

A journal belongs to one model (its hash is in the name) and knows clips by path and content, so a changed recording
is judged again and a changed threshold of the model starts a new journal.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audio import jobs
from audio.digest import file_sha256
from audio.errors import ToolkitError
from audio.executors import Workers
from audio.labels import FAKE, LABELS
from audio.levels import snr_db
from audio.manifest import Clip, resolve
from audio.reading import read
from audio.segments import SAMPLE_RATE, Segment
from model.bundle import CARD_NAME, find_bundle, read_bundle
from model.evaluation.judged import Judged
from model.evaluation.measures import pitch_hz
from model.judging.detector import Detector
from model.judging.runtime import DEFAULT_RUNTIME, runtime_of

VERSION = 2
"""Version of the rows in a journal; another one starts a new journal."""

CLIPS_PER_ITEM = 32
"""Clips that are altered together: codecs are cheap only in company (`synth.codecs`)."""

Samples = npt.NDArray[np.float32]

Alteration = Callable[[Sequence[tuple[Samples, Clip]]], Sequence[tuple[Samples, Clip]]]
"""Changes recordings, and with them their clips' truth; pure, and the same for a clip whatever its neighbours."""


@dataclass(frozen=True)
class Judge:
    """One model, and where it writes down what it said.

    Raises
    ------
    ModelError
        When there is no such bundle, or it is broken.
    """

    bundle: Path
    """Folder of the bundle."""
    folder: Path | None = None
    """Where the journals lie; None keeps none."""
    workers: Workers = 1
    runtime: str | None = None
    """What runs a network (`model.judging.runtime.RUNTIMES`); None: what the bundle was made for."""

    def __post_init__(self) -> None:
        bundle = read_bundle(find_bundle(self.bundle))
        object.__setattr__(self, "bundle", bundle.path)
        object.__setattr__(self, "runtime", self.runtime or runtime_of(bundle))

    @property
    def sha256(self) -> str:
        """The hash of the model with its thresholds: that of `bundle.json`, which holds those of the weights."""
        return file_sha256(self.bundle / CARD_NAME)

    def judge(
        self,
        place: Path,
        clips: Sequence[Clip],
        *,
        alter: Alteration | None = None,
        name: str = "clean",
        title: str = "",
    ) -> list[Judged]:
        """Judge the clips of one set, in order, as they are or after `alter` has changed them.

        Parameters
        ----------
        place
            The manifest, or the folder of a set without one (`audio.manifest.read_set`).
        clips
            Those of it that are to be judged.
        alter
            What happens to each recording first; pickles.
        name
            Says what `alter` does, in the name of the journal.
        title
            In front of the progress bar; "" for one made from `name`.

        Returns
        -------
        One for each clip. A recording that cannot be read or altered has no score, and the message as its reason.
        """
        process = _Process(self.bundle, self.sha256, self.runtime, place, alter)
        size = 1 if alter is None else CLIPS_PER_ITEM
        items = [tuple(clips[i : i + size]) for i in range(0, len(clips), size)]
        found = jobs.run(
            process,
            items,
            key=process.key,
            workers=self.workers,
            journal=None if self.folder is None else self.folder / self._journal(name),
            title=title or f"judging {name}",
            settings=f"{VERSION} {self.sha256} {name}{self._beside_default}",
        )
        rows = [row for item, rows in zip(items, found, strict=True) for row in _one_each(item, rows)]
        return [_judged(clip, row) for clip, row in zip(clips, rows, strict=True)]

    def _journal(self, name: str) -> str:
        return f"judged-{VERSION}-{self.sha256[:12]}-{name}{self._beside_default}.jsonl"

    @property
    def _beside_default(self) -> str:
        """What tells the journals of another runtime apart."""
        return "" if self.runtime in (None, DEFAULT_RUNTIME) else f"-{self.runtime}"


@dataclass(frozen=True)
class _Process:
    """`process(item) -> rows`: what the model says of a few clips."""

    bundle: Path
    sha256: str
    runtime: str | None
    place: Path
    alter: Alteration | None

    def key(self, item: tuple[Clip, ...]) -> str:
        """Name clips by path and content, and by their truth where altering moves it."""
        return "|".join(f"{clip.path} {self._content(clip)}{self._truth(clip)}" for clip in item)

    def _truth(self, clip: Clip) -> str:
        return "" if self.alter is None else " " + hashlib.sha256(json.dumps(_truth(clip)).encode()).hexdigest()[:16]

    def _content(self, clip: Clip) -> str:
        try:
            return file_sha256(resolve(self.place, clip))[:16]
        except ToolkitError:
            return "unreadable"

    def __call__(self, item: tuple[Clip, ...]) -> list[jobs.Row]:
        """Read, alter and judge."""
        if len(item) == 1:  # an error is an error, and the next run tries again
            return [self._rows([(read(resolve(self.place, clip)), clip)])[0] for clip in item]
        rows: list[jobs.Row] = [{} for _ in item]
        readable = []
        for i, clip in enumerate(item):
            try:
                readable.append((i, read(resolve(self.place, clip))))
            except ToolkitError as error:
                rows[i] = {"error": str(error)}
        found = self._rows([(samples, item[i]) for i, samples in readable])
        for (i, _), row in zip(readable, found, strict=True):
            rows[i] = row
        return rows

    def _rows(self, recordings: Sequence[tuple[Samples, Clip]]) -> list[jobs.Row]:
        altered = recordings if self.alter is None else self.alter(recordings)
        rows = [_row(samples, _detector(self.bundle, self.sha256, self.runtime)) for samples, _ in altered]
        if self.alter is None:
            return rows
        return [{**row, "truth": _truth(clip)} for row, (_, clip) in zip(rows, altered, strict=True)]


@lru_cache(maxsize=1)
def _detector(bundle: Path, sha256: str, runtime: str | None) -> Detector:
    """The model, loaded once in each process, and again when its hash is another."""
    return Detector(bundle, runtime=runtime)


def _truth(clip: Clip) -> list[Any]:
    return [clip.label, [[span.onset, span.offset, span.label] for span in clip.segments]]


def _row(samples: Samples, detector: Detector) -> jobs.Row:
    """What is said of one recording."""
    found = detector.detect(samples)
    return {
        "n_samples": len(samples),
        "label": found.label,
        "probabilities": None if found.abstained else [found.probabilities[label] for label in LABELS],
        "score": found.score,
        "spans": [[span.onset, span.offset, span.confidence] for span in found.spans],
        "frame_scores": base64.b64encode(found.frame_scores.astype("<f4").tobytes()).decode("ascii"),
        "hop_samples": round(found.frame_hop_s * SAMPLE_RATE),
        "reasons": list(found.reasons),
        "pitch_hz": pitch_hz(samples),
        "snr_db": snr_db(samples),
    }


def _one_each(item: tuple[Clip, ...], rows: list[jobs.Row]) -> list[jobs.Row]:
    """Rows of the clips of an item, also where all of it failed and there is one error for it."""
    failed = len(rows) == 1 and "error" in rows[0]
    return rows * len(item) if failed else rows


def _judged(clip: Clip, row: jobs.Row) -> Judged:
    if "error" in row:
        return Judged(clip, clip.n_samples, reasons=(row["error"],), failed=True)
    if "truth" in row:  # the clip was altered; otherwise the manifest of today is right, not the one of the journal
        label, segments = row["truth"]
        spans = tuple(Segment(*span) for span in segments)
        clip = replace(clip, label=label, segments=spans, n_samples=row["n_samples"])
    heard = row["label"] is not None
    return Judged(
        clip,
        row["n_samples"],
        score=row["score"],
        label=row["label"],
        probabilities=tuple(row["probabilities"]) if heard else None,
        frame_scores=np.frombuffer(base64.b64decode(row["frame_scores"]), dtype="<f4") if heard else None,
        hop_samples=row["hop_samples"],
        spans=tuple(Segment(onset, offset, FAKE, confidence) for onset, offset, confidence in row["spans"])
        if heard
        else None,
        reasons=tuple(row["reasons"]),
        pitch_hz=row["pitch_hz"],
        snr_db=row["snr_db"],
    )
