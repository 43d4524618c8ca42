"""A set small enough to train on in seconds, whose fakes a network learns at once: see `tiny_model.voice`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_model import RATE, voice

from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import Segment

SPANS = {REAL: (), FAKE: ((0, 24_000),), HYBRID: ((8_000, 16_000),)}
"""Fake samples of a clip of each class."""

N_SAMPLES = 24_000
SPLITS = {"train": 12, "dev": 6, "test": 6, "test_unseen": 3}


def write_tiny_set(folder: Path, *, seed: int = 0) -> Path:
    """Write clips of 1.5 s, the three classes in turn, one speaker a split; return the folder."""
    clips = []
    for split, count in SPLITS.items():
        for index in range(count):
            label = LABELS[index % 3]
            clip = Clip(
                path=f"{label}/{split}-{index}.wav",
                label=label,
                segments=tuple(Segment(*span) for span in SPANS[label]),
                n_samples=N_SAMPLES,
                speaker=split.partition("_")[0],
                generator="" if label == REAL else "noise",
                split=split,
            )
            rng = np.random.default_rng((seed, len(clips)))
            fake_s = [(onset / RATE, offset / RATE) for onset, offset in SPANS[label]]
            (folder / label).mkdir(parents=True, exist_ok=True)
            write_wav(folder / clip.path, voice(rng, N_SAMPLES / RATE, fake_s=fake_s))
            clips.append(clip)
    write_manifest(folder / "manifest.jsonl", clips)
    return folder
