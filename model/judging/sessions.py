"""The two programs that can run a network while judging: ONNX Runtime and LiteRT. Both are told to use one thread.

One thread, because a window is small: more of them spend their time waiting for each other, and whoever judges many
files fills the cores with files.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError

INPUT = "features"
OUTPUTS = ("frames", "clip_logits")

Float = NDArray[np.float32]


class Session(Protocol):
    """A loaded network. What it raises and answers is not checked yet: `model.judging.runtime.Network` does that."""

    def __call__(self, features: Float) -> tuple[Float, Float]:
        """Run features, float32 (1, time, bands); give frame scores (1, frames) and clip logits (1, 3)."""


def onnx_session(path: Path, outputs: tuple[str, str] = OUTPUTS) -> Session:
    """Open a network with ONNX Runtime, on the CPU; `outputs` are what it is asked for.

    Raises
    ------
    ModelError
        The file is no ONNX network, or not one with our input and outputs.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes back as an exception, once
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class but Exception
        raise ModelError(f"{path}: no ONNX network that can be loaded: {one_line(error)}") from error
    names = ({node.name for node in nodes} for nodes in (session.get_inputs(), session.get_outputs()))
    _check_signature(path, *names, outputs=outputs)

    def run(features: Float) -> tuple[Float, Float]:
        frames, logits = session.run(list(outputs), {INPUT: features})
        return frames, logits

    return run


def litert_session(path: Path) -> Session:
    """Open a network with LiteRT, which was TensorFlow Lite.

    The file is one that `script.py export --format litert` made: its batch is fixed at 1 and its time axis is open, so
    that windows of every length run, each at its own length.

    Raises
    ------
    ModelError
        The package is missing, or the file is no LiteRT network, or not one with our input and outputs.
    """
    interpreter = _litert_interpreter(path)
    try:
        with _muted_stderr():
            loaded = interpreter(model_path=str(path), num_threads=1)
            loaded.allocate_tensors()  # here, so that what it says about its kernels is not heard later
        names = loaded.get_signature_list().get("serving_default", {"inputs": [], "outputs": []})
    except Exception as error:  # its C++ side raises whatever it likes
        raise ModelError(f"{path}: no LiteRT network that can be loaded: {one_line(error)}") from error
    _check_signature(path, set(names["inputs"]), set(names["outputs"]))
    return _LiteRTSession(loaded)


class _LiteRTSession:
    """An interpreter with its lock: it keeps the tensors of one call, so that two at a time would mix them up."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter  # the runner alone does not keep it alive
        self._runner = interpreter.get_signature_runner("serving_default")
        self._shape = [int(n) for n in self._runner.get_input_details()[INPUT]["shape_signature"]]
        self._lock = threading.Lock()

    def __call__(self, features: Float) -> tuple[Float, Float]:
        # The interpreter itself would take any shape, and read beyond it.
        if features.dtype != np.float32 or features.ndim != 3 or not _fits(features.shape, self._shape):
            raise ValueError(f"expected float32 {self._shape}, received {features.dtype} {list(features.shape)}")
        with self._lock:
            answers = self._runner(**{INPUT: np.ascontiguousarray(features)})
        frames, logits = (answers[name] for name in OUTPUTS)
        return frames, logits


def _fits(shape: tuple[int, ...], expected: list[int]) -> bool:
    """Tell whether a shape is as expected, where -1 is any length but 0."""
    return all(n == m or (m == -1 and n > 0) for n, m in zip(shape, expected, strict=True))


def _litert_interpreter(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        needed = "LiteRT is missing: install it with 'pip install ai-edge-litert'"
        raise ModelError(f"{path}: {needed}") from None
    return Interpreter


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Send stderr nowhere, by its file descriptor: LiteRT's C++ announces there that it has a faster kernel."""
    try:
        kept = os.dup(2)
    except OSError:  # a program without a console
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_signature(path: Path, inputs: set[str], found: set[str], *, outputs: tuple[str, ...] = OUTPUTS) -> None:
    if inputs != {INPUT} or not found.issuperset(outputs):
        raise ModelError(
            f"{path}: expected input {INPUT} and outputs {', '.join(outputs)}, "
            f"received {', '.join(sorted(inputs))} and {', '.join(sorted(found))}"
        )


def one_line(error: Exception) -> str:
    """Return the message of an exception on one line."""
    return " ".join(str(error).split())
