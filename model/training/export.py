"""From a trained network to the files of a bundle: Keras for fine-tuning, ONNX for judging, proved equal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import keras
import numpy as np

from audio.errors import ModelError
from model.bundle import KERAS_NAME, ONNX_NAME
from model.features import FeatureConfig
from model.judging.runtime import Network
from model.training.formats import judging_form
from model.training.quiet import quiet_stderr

TOLERANCE = 1e-4
"""Largest difference allowed between the two files' outputs; float32 rounding over a window stays near 1e-6."""


def export(model: keras.Model, folder: Path, *, features: FeatureConfig) -> float:
    """Write `model.keras` and `model.onnx` into `folder` and compare them on noise of several lengths.

    Returns
    -------
    the largest difference found between the outputs of the two

    Raises
    ------
    ModelError
        When the difference is above `TOLERANCE`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / KERAS_NAME)
    judging = judging_form(model)
    write_onnx(judging, folder / ONNX_NAME)
    network = Network(folder / ONNX_NAME)
    difference = max(_difference(judging, network, features, n_frames) for n_frames in (20, 75, 200))
    if difference > TOLERANCE:
        raise ModelError(
            f"{folder / ONNX_NAME}: expected at most {TOLERANCE:g} from the Keras network. Received: {difference:g}"
        )
    return difference


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write a Keras network as ONNX, without what the converter says about it."""
    silence = np.zeros((1, 20, model.input_shape[-1]), dtype=np.float32)
    model.predict(silence, verbose=0)  # Keras exports only a network that has been called
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet_stderr():
        warnings.simplefilter("ignore")  # tf2onnx probes for names that NumPy 2 dropped
        model.export(path, format="onnx", verbose=False)


def _difference(model: keras.Model, network: Network, features: FeatureConfig, n_frames: int) -> float:
    noise = np.random.default_rng(n_frames).standard_normal((n_frames * features.frames_per_score, features.n_bands))
    spectrogram = noise.astype(np.float32)
    expected = model.predict(spectrogram[None], verbose=0)
    frames, logits = network.run(spectrogram)
    return max(
        float(np.abs(frames - expected["frames"][0]).max()), float(np.abs(logits - expected["clip_logits"][0]).max())
    )
