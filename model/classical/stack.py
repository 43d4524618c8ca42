"""A stack as it judges: what its members say of a window, weighed by two heads (Wolpert, "Stacked generalization",
Neural Networks 1992).

    members/0 ... members/n    whole bundles, copied
    frames, clip               heads over the logits of the members' frame scores, and over their clip logits
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from audio.labels import LABELS
from model.bundle import Bundle
from model.classical.handmade import Described
from model.classical.heads import Head, load_head
from model.classical.system import CLIP, FRAMES, clip_logits, frame_scores

FOLDER = "members"

LEAST_PROBABILITY = 1e-4
"""Frame scores are kept this far from 0 and 1 before their logit is taken: one sure member must not drown others."""

Float = NDArray[np.float32]


class Member(Protocol):
    """As `model.judging.systems.System`."""

    def judge(self, samples: Float) -> tuple[Float, Float]:
        """Judge one window."""


def member_folders(bundle: Bundle) -> list[Path]:
    """Return where the members lie; raises `ModelError` when the bundle does not say how many there are."""
    n_members = bundle.system.get("members")
    if not isinstance(n_members, int) or n_members < 1:
        raise ModelError(f"{bundle.path}: expected a stack of one or more members. Received: {n_members!r}")
    return [bundle.path / FOLDER / str(i) for i in range(n_members)]


def frame_names(n_members: int) -> tuple[str, ...]:
    """Names of what the frame head reads."""
    return tuple(f"member_{i}" for i in range(n_members))


def clip_names(n_members: int) -> tuple[str, ...]:
    """Names of what the clip head reads."""
    return tuple(f"member_{i}_{what}" for i in range(n_members) for what in (*LABELS, "frames_mean", "frames_max"))


def told(said: Sequence[tuple[Float, Float]]) -> Described:
    """Lay out what members say of a window: logits of each frame (n, members), and of the clip (5 * members,)."""
    frames, clip = [], []
    for scores, logits in said:
        kept = np.clip(scores.astype(np.float64), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        frames.append(np.log(kept / (1.0 - kept)))
        normalised = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        summary = (frames[-1].mean(), frames[-1].max()) if len(scores) else (0.0, 0.0)
        clip += [*np.maximum(normalised, np.log(LEAST_PROBABILITY)), *summary]
    return Described(np.stack(frames, axis=1).astype(np.float32), np.array(clip, dtype=np.float32))


class Stack:
    """Runs a stack; see `model.judging.systems.System`."""

    def __init__(self, members: Sequence[Member], frames: Head, clip: Head) -> None:
        """Put a stack together."""
        self._members, self._frames, self._clip = members, frames, clip

    def judge(self, samples: Float) -> tuple[Float, Float]:
        """See `model.judging.systems.System`."""
        found = told([member.judge(samples) for member in self._members])
        return frame_scores(self._frames, found.frames), clip_logits(self._clip, found.clip)


def open_stack(bundle: Bundle, members: Sequence[Member]) -> Stack:
    """Load a stack over its members, which are open already; raises `ModelError` for a bundle that is none."""
    n_members = len(members)
    frames = load_head(bundle, FRAMES, frame_names(n_members))
    return Stack(members, frames, load_head(bundle, CLIP, clip_names(n_members)))
