"""A classical system as it judges: a window in numbers, and a head for its frames and one for the clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.labels import LABELS
from model.bundle import Bundle
from model.classical import embeddings, handmade
from model.classical.handmade import Described
from model.classical.heads import Head, load_head, required

FRAMES, CLIP = "frames", "clip"
"""Names of the heads."""

LEAST_PROBABILITY = 1e-3
"""A clip's probabilities are kept this far from 0 before their logarithm is taken: forests and neighbours say 0 of
what they did not see, and mean little by it."""

Float = NDArray[np.float32]


class Classical:
    """Runs a classical system; see `model.judging.systems.System`."""

    def __init__(self, describe: Callable[[Any], Described], frames: Head, clip: Head) -> None:
        """Put a system together: what describes a window, and the heads over frames and clip."""
        self._describe, self._frames, self._clip = describe, frames, clip

    def judge(self, samples: Float) -> tuple[Float, Float]:
        """See `System`."""
        found = self._describe(samples)
        return frame_scores(self._frames, found.frames), clip_logits(self._clip, found.clip)


def frame_scores(head: Head, rows: Float) -> Float:
    """P(fake) of frames (n, d): float32 (n,) within [0, 1]."""
    return np.clip(head.probabilities(rows)[:, 1], 0.0, 1.0).astype(np.float32)


def clip_logits(head: Head, row: Float) -> Float:
    """Logits of a clip (d,): float32 (3,), finite; a class that the head does not know is as unlikely as can be."""
    probabilities = np.full(len(LABELS), LEAST_PROBABILITY)
    probabilities[list(head.classes)] = head.probabilities(row[np.newaxis])[0]
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32)


def open_classical(bundle: Bundle) -> Classical:
    """Load a classical system; raises `ModelError` for a bundle that is none, and for a missing package."""
    for package in ("sklearn", "skops"):
        required(package)
    if embeddings.ONNX_FILE in bundle.files:
        network = embeddings.open_embeddings(bundle)
        names, describe = (network.frame_names, network.clip_names), network.describe
    else:
        names, describe = (handmade.NAMES, handmade.NAMES), handmade.describe
    frames, clip = (load_head(bundle, head, known) for head, known in zip((FRAMES, CLIP), names, strict=True))
    return Classical(describe, frames, clip)
