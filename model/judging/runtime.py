"""Running a bundle's network: one window in, its frame scores and clip logits out.

Windows are judged one at a time. That costs little (a window is large enough to keep a core busy) and settles by
construction that a score depends on its own window alone, to the last bit: batched matrix products may group
their sums differently for different batch sizes. Only `Network.frame_scores`, which explanations ask for the same
window changed in hundreds of ways, runs many together where the network can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio.digest import file_sha256
from audio.errors import ModelError, UsageError
from audio.labels import LABELS
from model.bundle import NETWORK, ONNX_NAME, Bundle
from model.judging.sessions import Float, Session, litert_session, one_line, onnx_session

LITERT_NAME = "model.tflite"
"""The network as LiteRT reads it, in the bundles that `script.py export --format litert` makes."""

EXPORTED = "export"
"""Key among a bundle's training facts: what `script.py export` made of it (`model.training.exporting`)."""


class Runtime(NamedTuple):
    """A program that runs networks, and the file of a bundle that it reads."""

    file: str
    open: Callable[[Path], Session]
    batches: bool
    """Whether it can run several windows together: the batch of our LiteRT networks is fixed at 1."""


RUNTIMES: Mapping[str, Runtime] = {
    "onnx": Runtime(ONNX_NAME, onnx_session, batches=True),
    "litert": Runtime(LITERT_NAME, litert_session, batches=False),
}
"""Every runtime that can judge. Keras and saved models are no runtimes here: they need TensorFlow."""

DEFAULT_RUNTIME = "onnx"


class Network:
    """A trained network that can be run, whatever runs it."""

    def __init__(self, path: Path, opener: Callable[[Path], Session] = onnx_session, *, batches: bool = False) -> None:
        """Load the network in a file, or a folder; `batches`: it may be run on several windows together.

        Raises
        ------
        ModelError
            It is no network that `opener` can open, or not one with our input and outputs.
        """
        self._path = path
        self._session = opener(path)
        self._batches = batches

    def run(self, features: Float) -> tuple[Float, Float]:
        """Judge one window.

        Parameters
        ----------
        features
            log-mel spectrogram, float32 (time, bands).

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
        frames, logits = self._answer(features[np.newaxis])
        return frames[0], logits[0]

    def frame_scores(self, features: Float) -> Float:
        """Say what the frames of many windows score: as `run` up to rounding, and faster where they run together.

        Parameters
        ----------
        features
            log-mel spectrograms of the same length, float32 (n, time, bands), n at least 1.

        Returns
        -------
        P(fake) per frame, float32 (n, frames) within [0, 1]. Errors are those of `run`.
        """
        if self._batches:
            return self._answer(features)[0]
        return np.stack([self.run(each)[0] for each in features])

    def _answer(self, features: Float) -> tuple[Float, Float]:
        """Run the network on (n, time, bands) and check what it says, (n, frames) and (n, 3)."""
        try:
            frames, logits = self._session(features)
        except Exception as error:  # the runtimes' own exceptions share no base class but Exception
            raise ModelError(
                f"{self._path}: the network failed on features {features.shape[1:]}: {one_line(error)}"
            ) from error
        n = len(features)
        if frames.ndim != 2 or len(frames) != n or logits.shape != (n, len(LABELS)):
            raise ModelError(
                f"{self._path}: expected outputs ({n}, frames) and ({n}, {len(LABELS)}), "
                f"received {frames.shape} and {logits.shape}"
            )
        if not (np.isfinite(frames).all() and np.isfinite(logits).all()):
            raise ModelError(f"{self._path}: the network answered with numbers that are not finite")
        return np.clip(frames, 0.0, 1.0), logits


def open_network(bundle: Bundle, runtime: str | None = None) -> Network:
    """Load the network of a bundle.

    Parameters
    ----------
    bundle
        as `model.bundle.read_bundle` gives it.
    runtime
        one of `RUNTIMES`; None takes the one that the bundle was exported for, else `DEFAULT_RUNTIME`.

    Raises
    ------
    UsageError
        There is no such runtime.
    ModelError
        The bundle has no file for the runtime, or not the one it was exported with; the runtime is missing; or
        the file is no network with our input and outputs.
    """
    name = (runtime_of(bundle) or DEFAULT_RUNTIME) if runtime is None else runtime
    if name not in RUNTIMES:
        raise UsageError(f"runtime: expected one of {', '.join(RUNTIMES)}, received {name!r}")
    file, opener, batches = RUNTIMES[name]
    path = bundle.path / file
    if file != ONNX_NAME:  # reading the bundle has checked that one
        _check_file(bundle, path)
    # Int8 networks round their inputs by the greatest of the whole batch: together, windows would change each other.
    return Network(path, opener, batches=batches and not _exported(bundle).get("int8"))


def runtime_of(bundle: Bundle) -> str | None:
    """Name the runtime that a bundle is for unless told otherwise; None where it holds no network."""
    if bundle.kind != NETWORK:
        return None
    name = str(_exported(bundle).get("format"))
    return name if name in RUNTIMES else DEFAULT_RUNTIME


def _exported(bundle: Bundle) -> Mapping[str, object]:
    facts = bundle.training.get(EXPORTED)
    return facts if isinstance(facts, Mapping) else {}


def _check_file(bundle: Bundle, path: Path) -> None:
    """Refuse a file that is missing or is not the one that was proved."""
    facts = _exported(bundle)
    if not path.is_file() or facts.get("artefact") != path.name:
        raise ModelError(
            f"{path}: expected a bundle that was exported for this runtime: make one with"
            f" 'python script.py export --format litert --model {bundle.path}'"
        )
    if file_sha256(path) != facts.get("sha256"):
        raise ModelError(f"{path}: does not match its hash in the bundle: changed or cut short")
