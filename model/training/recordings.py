"""What training windows are cut from: clips of a set on disk, or examples that somebody splices on the fly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from audio import reading, segments
from audio.errors import ManifestError
from audio.manifest import Clip, fake_spans

if TYPE_CHECKING:
    from model.training.examples import TrainingSet

Float = npt.NDArray[np.float32]


class Recording(Protocol):
    """A labelled recording, of which windows are asked for."""

    @property
    def label(self) -> str:
        """One of `LABELS`."""

    @property
    def n_samples(self) -> int:
        """Length in samples at 16 kHz, or 0 while it is unknown."""

    @property
    def knows_spans(self) -> bool:
        """False when nothing says where the fake spans are."""

    def span(self, onset: int, offset: int) -> Float:
        """Return samples `[onset, offset)`, within the known length."""

    def whole(self) -> Float:
        """Return all samples, (n,), n at least 1."""

    def truth(self, n_samples: int) -> npt.NDArray[np.bool_]:
        """Tell which of its `n_samples` samples are fake, bool (n_samples,)."""


@dataclass(frozen=True)
class Filed:
    """A clip of a set, read when it is asked for.

    Raises
    ------
    AudioError
        By `span` and `whole`, when the file cannot be read.
    ManifestError
        By `whole`, when it is empty.
    """

    training_set: TrainingSet
    clip: Clip

    @property
    def label(self) -> str:
        """See `Recording`."""
        return self.clip.label

    @property
    def n_samples(self) -> int:
        """See `Recording`."""
        return self.clip.n_samples

    @property
    def knows_spans(self) -> bool:
        """See `Recording`."""
        return self.training_set.has_spans

    def span(self, onset: int, offset: int) -> Float:
        """See `Recording`."""
        return reading.read_span(self.training_set.path(self.clip), onset, offset)

    def whole(self) -> Float:
        """See `Recording`."""
        path = self.training_set.path(self.clip)
        samples = reading.read(path)
        if not len(samples):
            raise ManifestError(f"{path}: expected a recording, received one without samples")
        return samples

    def truth(self, n_samples: int) -> npt.NDArray[np.bool_]:
        """See `Recording`."""
        return segments.to_frames(fake_spans(self.clip, n_samples), n_samples, 1)


class Example(Protocol):
    """What a splicer on the fly hands over: float32 (n,) at 16 kHz, its class, and its fake spans."""

    @property
    def samples(self) -> Float:
        """The recording."""

    @property
    def label(self) -> str:
        """One of `LABELS`."""

    @property
    def segments(self) -> Sequence[segments.Segment]:
        """The fake spans."""


@dataclass(frozen=True)
class Spliced:
    """An example in memory."""

    example: Example

    @property
    def label(self) -> str:
        """See `Recording`."""
        return self.example.label

    @property
    def n_samples(self) -> int:
        """See `Recording`."""
        return len(self.example.samples)

    @property
    def knows_spans(self) -> bool:
        """See `Recording`."""
        return True

    def span(self, onset: int, offset: int) -> Float:
        """See `Recording`."""
        return self.example.samples[onset:offset]

    def whole(self) -> Float:
        """See `Recording`."""
        return self.example.samples

    def truth(self, n_samples: int) -> npt.NDArray[np.bool_]:
        """See `Recording`."""
        return segments.to_frames(self.example.segments, n_samples, 1)


@dataclass(frozen=True)
class Splices:
    """Endless training examples in batches, instead of the training split of a set.

    `batch(k)` returns the examples of batch k, always the same ones, with all classes equally often; an epoch is
    `steps_per_epoch` of them, none of which comes twice.
    """

    batch: Callable[[int], Sequence[Example]]
    steps_per_epoch: int
