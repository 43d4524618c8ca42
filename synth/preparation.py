"""What `prepare` does to one recording: cut and measure it, and later write its clips and their copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from audio import jobs
from audio.digest import file_sha256
from audio.errors import AudioError, ToolkitError, UsageError
from audio.reading import write_wav
from audio.segments import n_frames
from synth.activity import HOP_SAMPLES, speech_frames
from synth.augment import Variation, varied
from synth.cutting import cut, excerpts, trimmed
from synth.denoise import spectral_gate, spectral_subtract, wavelet
from synth.loudness import normalised
from synth.pcm import Samples, to_pcm
from synth.quality import measure
from synth.rejection import Piece
from synth.sounds import SoundFolder

DENOISERS: Mapping[str, Callable[[Samples], Samples]] = {
    "none": np.copy,
    "gate": spectral_gate,
    "subtract": spectral_subtract,
    "wavelet": wavelet,
}
"""Ways to take noise out of a recording."""

TARGET_LUFS = -23.0
"""Loudness of prepared clips unless told otherwise: EBU R 128."""

LUFS_RANGE = (-50.0, -5.0)
"""Loudness that can be asked for: audible, and possible for speech."""

MOST_COPIES = 100
"""Copies of a clip that can be asked for."""


@dataclass(frozen=True)
class Preparation:
    """What is done to the recordings.

    Raises
    ------
    UsageError
        For an unknown way to denoise, or a number out of its range.
    """

    denoise: str = "none"
    """One of `DENOISERS`. None by default: what it leaves behind would tell genuine voices from fake ones."""
    target_lufs: float = TARGET_LUFS
    trim: bool = True
    keep_outliers: bool = False
    n_copies: int = 0
    """Varied copies of each clip."""
    seed: int = 1
    """What the copies are drawn from."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.denoise not in DENOISERS:
            raise UsageError(f"denoise: expected one of {', '.join(DENOISERS)}, received {self.denoise!r}")
        low, high = LUFS_RANGE
        if not low <= self.target_lufs <= high:
            raise UsageError(f"target-lufs: expected {low:g} to {high:g}, received {self.target_lufs}")
        if not 0 <= self.n_copies <= MOST_COPIES:
            raise UsageError(f"augment: expected 0 to {MOST_COPIES}, received {self.n_copies}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, received {self.seed}")


@dataclass(frozen=True)
class Take:
    """One clip to write."""

    piece: Piece
    path: str
    """Of its file, relative to the folder of clips."""
    copies: tuple[tuple[str, Variation], ...] = ()
    """The files of its copies, and how each is varied."""


def measure_recording(name: str, *, root: Path, trim: bool) -> list[jobs.Row]:
    """Cut the recording `name` in `root` into clips and measure them.

    Returns
    -------
    A row for each clip: `whole` and `kept`, its span before and after trimming, in samples, and `measures`; or one
    row `failed` with a line that says why, when it cannot be read to its end.
    """
    from threadpoolctl import threadpool_limits

    try:
        # Processes are what runs side by side here; numeric libraries would start threads in each of them.
        with threadpool_limits(limits=1):
            return [_measured(onset, samples, trim=trim) for onset, samples in cut(root / name)]
    except ToolkitError as error:
        return [{"failed": str(error)}]


def _measured(onset: int, samples: Samples, *, trim: bool) -> jobs.Row:
    speech = speech_frames(samples)
    start, stop = trimmed(speech, samples.size) if trim else (0, samples.size)
    first = start // HOP_SAMPLES
    inside = speech[first : first + n_frames(stop - start, HOP_SAMPLES)]
    return {
        "whole": [onset, onset + samples.size],
        "kept": [onset + start, onset + stop],
        "measures": asdict(measure(samples[start:stop], inside)),
    }


def write_takes(
    takes: Sequence[Take], *, root: Path, out: Path, preparation: Preparation, sounds: SoundFolder | None
) -> list[jobs.Row]:
    """Write the clips of one recording, all of them or none.

    Parameters
    ----------
    takes
        The clips, in the order of their spans.
    root, out
        The folders of recordings and of clips.
    preparation
        What is done to them.
    sounds
        Recorded noise for the copies.

    Returns
    -------
    A row for each file: `path`, `n_samples` and `source`, where it comes from; or one row `failed` with a line,
    when the recording or a noise can no longer be read.

    Raises
    ------
    OSError
        When a file cannot be written.
    """
    from threadpoolctl import threadpool_limits

    rows: list[jobs.Row] = []
    try:
        with threadpool_limits(limits=1):
            path = root / takes[0].piece.recording
            facts = {"path": takes[0].piece.recording, "sha256": file_sha256(path), "denoise": preparation.denoise}
            for take, samples in zip(takes, excerpts(path, [take.piece.whole for take in takes]), strict=True):
                cleaned = _cleaned(take.piece, samples, denoise=preparation.denoise)
                for name, variation in ((take.path, None), *take.copies):
                    changed = cleaned if variation is None else varied(cleaned, variation, sounds=sounds)
                    pcm = to_pcm(normalised(changed, preparation.target_lufs))
                    write_wav(out / name, pcm)
                    rows.append({"path": name, "n_samples": pcm.size, "source": {**facts, **_origin(take, variation)}})
    except ToolkitError as error:
        for row in rows:
            (out / row["path"]).unlink(missing_ok=True)
        return [{"failed": str(error)}]
    return rows


def _cleaned(piece: Piece, samples: Samples, *, denoise: str) -> Samples:
    """Denoise a clip with its pauses, from which noise is learnt, and trim it then."""
    if samples.size != piece.whole[1] - piece.whole[0]:
        raise AudioError(f"{piece.recording}: was changed while it was being prepared")
    return DENOISERS[denoise](samples)[piece.kept[0] - piece.whole[0] : piece.kept[1] - piece.whole[0]]


def _origin(take: Take, variation: Variation | None) -> jobs.Row:
    onset, offset = take.piece.kept
    changes = {} if variation is None else {"variation": variation.to_json()}
    return {"onset": onset, "offset": offset, **changes}
