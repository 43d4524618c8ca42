"""Embeddings: what a trained network makes of a window just before its heads, as features for another classifier.

The network is written beside the classifier as ONNX, so that judging needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from model.bundle import Bundle
from model.classical.handmade import Described
from model.features import FeatureConfig, log_mel
from model.judging.sessions import Session, one_line, onnx_session

ONNX_FILE = "embedding.onnx"

OUTPUTS = ("frame_embeddings", "clip_embedding")
"""(batch, frames, d) and (batch, e): what the frame head and the clip head of the network see."""

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A network without its heads."""

    session: Session
    features: FeatureConfig
    sizes: tuple[int, int]
    """Numbers in the embedding of a frame, and of a clip."""

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Names of the features of a frame."""
        return tuple(f"embedding_{i + 1}" for i in range(self.sizes[0]))

    @property
    def clip_names(self) -> tuple[str, ...]:
        """Names of the features of a clip."""
        return tuple(f"clip_embedding_{i + 1}" for i in range(self.sizes[1]))

    def describe(self, samples: Float) -> Described:
        """Return the embeddings of a window; raises `ModelError` when the network fails."""
        try:
            frames, clip = self.session(log_mel(samples, self.features)[np.newaxis])
        except Exception as error:  # onnxruntime's own exceptions share no base class but Exception
            raise ModelError(f"{ONNX_FILE}: the network failed: {one_line(error)}") from error
        if not (np.isfinite(frames).all() and np.isfinite(clip).all()):
            raise ModelError(f"{ONNX_FILE}: the network answered with numbers that are not finite")
        return Described(frames[0], clip[0])


def open_embeddings(bundle: Bundle) -> Embeddings:
    """Load the embedding network of a bundle; raises `ModelError` when it is none."""
    try:
        features = FeatureConfig.from_json(bundle.system["embeddings"]["features"])
        n_frame, n_clip = (int(n) for n in bundle.system["embeddings"]["sizes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{bundle.path}: expected what its embeddings are, missing: {error}") from None
    return Embeddings(onnx_session(bundle.path / ONNX_FILE, OUTPUTS), features, (n_frame, n_clip))
