"""Running a bundle's network with ONNX Runtime: one window in, its frame scores and clip logits out.

Windows are run one at a time. That costs little (a window is large enough to keep a core busy) and settles by
construction that a score depends on its own window alone, to the last bit: batched matrix products may group
their sums differently for different batch sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from audio.labels import LABELS

INPUT = "features"
OUTPUTS = ("frames", "clip_logits")

Float = NDArray[np.float32]


class Network:
    """The ONNX twin of a trained network."""

    def __init__(self, onnx_path: Path) -> None:
        """Load the network.

        Raises
        ------
        ModelError
            The file is no ONNX network, or not one with our input and outputs.
        """
        self._path = onnx_path
        self._session = _session(onnx_path)
        _check_signature(self._session, onnx_path)

    def run(self, features: Float) -> tuple[Float, Float]:
        """Judge one window.

        Parameters
        ----------
        features
            log-mel spectrogram, float32 (time, n_mels).

        Returns
        -------
        P(fake) per frame, float32 (frames,) within [0, 1], and the clip logits, float32 (3,), in the
        order of `audio.labels.LABELS`, before temperature and softmax.

        Raises
        ------
        ModelError
            The network does not accept these features, or answers with other shapes or with
            numbers that are not finite.
        """
        try:
            frames, logits = self._session.run(list(OUTPUTS), {INPUT: features[np.newaxis]})
        except Exception as error:  # onnxruntime's own exceptions share no base class but Exception
            raise ModelError(
                f"{self._path}: the network failed on features {features.shape}: {_line(error)}"
            ) from error
        if frames.ndim != 2 or len(frames) != 1 or logits.shape != (1, len(LABELS)):
            raise ModelError(
                f"{self._path}: expected outputs (1, frames) and (1, {len(LABELS)}), "
                f"received {frames.shape} and {logits.shape}"
            )
        if not (np.isfinite(frames).all() and np.isfinite(logits).all()):
            raise ModelError(f"{self._path}: the network answered with numbers that are not finite")
        return np.clip(frames[0], 0.0, 1.0), logits[0]


def _session(onnx_path: Path) -> Any:
    """Open an ONNX Runtime session on the CPU with one thread.

    One thread, because a window is small: more of them spend their time waiting for each other, and whoever
    judges many files fills the cores with files.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes back as an exception, once
    try:
        return onnxruntime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # see Network.run
        raise ModelError(f"{onnx_path}: no ONNX network that can be loaded: {_line(error)}") from error


def _check_signature(session: Any, onnx_path: Path) -> None:
    inputs = {node.name for node in session.get_inputs()}
    outputs = {node.name for node in session.get_outputs()}
    if inputs != {INPUT} or not outputs.issuperset(OUTPUTS):
        raise ModelError(
            f"{onnx_path}: expected input {INPUT} and outputs {', '.join(OUTPUTS)}, "
            f"received {', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}"
        )


def _line(error: Exception) -> str:
    """The message of an exception on one line."""
    return " ".join(str(error).split())
