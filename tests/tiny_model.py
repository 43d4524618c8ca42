"""A network small enough to be written by hand, and recordings that it understands.

`voice` makes noise in syllables below 3 kHz; where it is "fake" there is noise above 6 kHz as well. The tiny network
looks at nothing but that upper band, so its frame scores and its clip logits are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.bundle import Bundle, OperatingPoint, Thresholds, write_bundle
from model.features import FeatureConfig

RATE = 16_000
FEATURES = FeatureConfig(n_mels=32, hop_samples=160, normalise_bands=False)
BAND_GAIN = np.where(np.arange(32) >= 29, 4.0 / 3, 0.0)
"""Weight of each mel band: the mean of those above 6.2 kHz, times four."""

THRESHOLDS = Thresholds(enter=0.6, exit=0.4, min_fake_samples=1_600, min_gap_samples=1_600)


def voice(rng: np.random.Generator, seconds: float, *, fake_s: Sequence[tuple[float, float]] = ()) -> np.ndarray:
    """Syllables of noise, 5 a second, float32 (n,) at 16 kHz, with an upper band inside `fake_s`."""
    n = round(seconds * RATE)
    time_s = np.arange(n) / RATE
    swell = 0.05 + 0.95 * np.sin(np.pi * 2.5 * time_s + rng.uniform(0, 3)) ** 2
    marked = np.zeros(n)
    for start_s, end_s in fake_s:
        marked[round(start_s * RATE) : round(end_s * RATE)] = 1.0
    low, high = _band(rng, n, 100, 3_000), _band(rng, n, 6_000, 8_000)
    return (0.1 * swell * (low + marked * high)).astype(np.float32)


def _band(rng: np.random.Generator, n: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Noise of unit power between two frequencies."""
    if n == 0:
        return np.zeros(0)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0.0
    noise = np.fft.irfft(spectrum, n)
    return noise / max(noise.std(), 1e-9)


def write_tiny_bundle(
    folder: Path, *, weights: np.ndarray | None = None, clip_weights: np.ndarray | None = None, frames: str = "frames"
) -> Path:
    """Write a bundle with the tiny network.

    Parameters
    ----------
    folder
        where to.
    weights
        float (32,), the gain of each mel band in the frame scores.
    clip_weights
        float (2, 3), slope and offset of the clip logits over the mean frame score m; by default
        real wins below m = 0.15, fake above 0.75.
    frames
        name of the first output; another than "frames" makes a broken network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bands = BAND_GAIN if weights is None else weights
    clip = np.array([[-12.0, 12.0, 0.0], [1.8, -9.0, 0.0]]) if clip_weights is None else clip_weights
    onnx.save(_network(bands, clip, frames), folder / "model.onnx")
    (folder / "model.keras").write_bytes(b"not needed for judging")
    bundle = Bundle(
        path=folder,
        name="tiny",
        window_samples=2 * RATE,
        step_samples=RATE,
        features=FEATURES,
        operating_points=(OperatingPoint(thresholds=THRESHOLDS),),
    )
    write_bundle(bundle)
    return folder


def _network(bands: np.ndarray, clip: np.ndarray, frames: str) -> onnx.ModelProto:
    """frames = sigmoid(mean over a frame's features of bands . x); clip_logits = clip . (mean of frames, 1)."""
    tensors = {
        "bands": bands[:, np.newaxis].astype(np.float32),
        "pairs": np.array([0, -1, FEATURES.frames_per_score], dtype=np.int64),
        "slope": clip[:1].astype(np.float32),
        "offset": clip[1].astype(np.float32),
        "axis_1": np.array([1], dtype=np.int64),
        "axis_2": np.array([2], dtype=np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["features", "bands"], ["band"]),
        helper.make_node("Reshape", ["band", "pairs"], ["paired"]),
        helper.make_node("ReduceMean", ["paired", "axis_2"], ["logits"], keepdims=0),
        helper.make_node("Sigmoid", ["logits"], [frames]),
        helper.make_node("ReduceMean", [frames, "axis_1"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "offset"], ["clip_logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "time", FEATURES.n_mels])],
        [
            helper.make_tensor_value_info(frames, TensorProto.FLOAT, ["batch", "frames"]),
            helper.make_tensor_value_info("clip_logits", TensorProto.FLOAT, ["batch", 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
