"""A small gradient-sign perturbation of the waveform: how far is a verdict from tipping over?

    samples -> windows -> log-mel, differentiable -> network -> cross-entropy of the true class
       ^                                                              |
       +----  x + epsilon * sign(d loss / d x), once  ----------------+

The fast gradient sign method (Goodfellow, Shlens and Szegedy, ICLR 2015), untargeted, against somebody who has the
model. One step, and only the clip head is attacked: a lower bound on what an attacker can do, but the same one for
every model. It needs TensorFlow and the Keras file of a bundle.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import ModelError
from audio.labels import label_index
from audio.manifest import Clip
from audio.segments import n_frames
from model.bundle import Bundle, find_bundle, read_bundle
from model.features import FRAME_HOP_SAMPLES, LEAST_SPREAD_DB, FeatureConfig, mel_filters
from model.judging.windows import Window, sliding_windows

EPSILON_DB = -40.0
"""Size of the step, in dB below the RMS of the recording: what it adds is noise at 40 dB SNR, which nobody minds.
At an RMS of -26 dBFS that is 0.0005 of full scale, the smallest of the steps by which Kawa et al. (Interspeech 2023)
attack detectors of fake speech; theirs do not know how loud the recording is."""

Samples = npt.NDArray[np.float32]


def differentiable_log_mel(samples: Any, config: FeatureConfig) -> Any:
    """Compute `model.features.log_mel` in TensorFlow, so that it has a gradient.

    Parameters
    ----------
    samples
        float32 tensor (n_samples,), one window, finite.
    config
        The features.

    Returns
    -------
    float32 tensor (n_feature_frames, n_bands); all zeros for digital silence, as its gradient is.
    """
    import tensorflow as tf

    return tf.concat([_one_log_mel(samples, part) for part in config.parts], axis=1)


def _one_log_mel(samples: Any, config: FeatureConfig) -> Any:
    """The same for one analysis window."""
    import tensorflow as tf

    power = _mel_power(samples / _or_one(tf.reduce_max(tf.abs(samples))), config)
    relative = power / _or_one(tf.reduce_max(power))
    decibels = tf.math.log(tf.maximum(relative, 10.0 ** (config.floor_db / 10.0))) * (10.0 / np.log(10.0))
    decibels -= tf.reduce_mean(decibels, axis=0 if config.normalise_bands else None, keepdims=True)
    # The root of the larger variance, not the larger of two roots: the root of 0 has no gradient.
    variance = tf.math.reduce_variance(decibels)
    return decibels / tf.sqrt(tf.maximum(variance, LEAST_SPREAD_DB**2))


def _or_one(value: Any) -> Any:
    """Return a tensor, or 1 where it is 0, so that silence can be divided by it."""
    import tensorflow as tf

    return tf.where(value > 0.0, value, tf.ones_like(value))


def _mel_power(samples: Any, config: FeatureConfig) -> Any:
    """Compute `model.features.mel_power`: float32 tensor (n_feature_frames, n_mels)."""
    import tensorflow as tf

    n_samples = tf.shape(samples)[0]
    # `audio.segments.n_frames`, on a tensor.
    count = (2 * n_samples + FRAME_HOP_SAMPLES) // (2 * FRAME_HOP_SAMPLES) * config.frames_per_score
    before = (config.n_fft - config.hop_samples) // 2
    after = tf.maximum(0, (count - 1) * config.hop_samples + config.n_fft - before - n_samples)
    padded = tf.pad(samples, [[before, after]])
    frames = tf.signal.frame(padded, config.n_fft, config.hop_samples)[:count]
    # Not tf.signal.hann_window: of an odd length it is never periodic.
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(config.n_fft) / config.n_fft)
    spectrum = tf.signal.rfft(frames * tf.constant(window, tf.float32))
    power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    return tf.matmul(power, tf.constant(mel_filters(config)))


class Perturber:
    """Moves recordings by one small step to where a bundle's network is most wrong about them.

    >>> Perturber("runs/demo").perturb(samples, "fake")
    """

    def __init__(self, bundle_path: str | os.PathLike[str], *, epsilon_db: float = EPSILON_DB) -> None:
        """Load the Keras network of a bundle.

        Parameters
        ----------
        bundle_path
            Folder of a bundle, or of the run above it.
        epsilon_db
            Amplitude of the step, in dB relative to the RMS of the recording.

        Raises
        ------
        ModelError
            There is no such bundle, TensorFlow is not installed, or the Keras file is missing or broken.
        UsageError
            The model is no network.
        """
        self.epsilon_db = epsilon_db
        self._bundle = read_bundle(find_bundle(bundle_path))
        self._bundle.require_network("gradient-sign perturbation")
        self._gradient = _loss_and_gradient(self._bundle)

    def __reduce__(self) -> tuple[Callable[..., Perturber], tuple[Path, float]]:
        """Travel to another process as a path: a running network does not pickle."""
        return _perturber, (self._bundle.path, self.epsilon_db)

    def __call__(self, recordings: Sequence[tuple[Samples, Clip]]) -> list[tuple[Samples, Clip]]:
        """Perturb recordings, each against the label of its clip; nothing else of the clip changes."""
        return [(self.perturb(samples, clip.label), clip) for samples, clip in recordings]

    def perturb(self, samples: Samples, label: str) -> Samples:
        """Take one step of the size `epsilon_db` against the truth.

        The loss is the mean, over the windows that the detector judges, of the cross-entropy between the clip head and
        `label`. Where windows overlap, one step is taken for all of them. Samples that do not matter, those of digital
        silence for example, stay.

        Parameters
        ----------
        samples
            float32 (n,) at 16 kHz, finite; any n, also 0.
        label
            What the recording is: one of `audio.labels.LABELS`.

        Returns
        -------
        float32 (n,), not rounded to 16 bits, and not clipped

        Raises
        ------
        ToolkitError
            For an unknown label.
        """
        gradient = np.zeros(len(samples), dtype=np.float32)
        for window in self._windows(len(samples)):
            _, slope = self._gradient(samples[window.onset : window.offset], label_index(label))
            gradient[window.onset : window.offset] += slope
        return (samples + np.float32(step_size(samples, self.epsilon_db)) * np.sign(gradient)).astype(np.float32)

    def loss(self, samples: Samples, label: str) -> float | None:
        """Return the loss that `perturb` raises, in nats; None for a recording without a frame."""
        windows = self._windows(len(samples))
        losses = [self._gradient(samples[w.onset : w.offset], label_index(label))[0] for w in windows]
        return float(np.mean(losses)) if losses else None

    def _windows(self, n_samples: int) -> list[Window]:
        """The windows that the detector takes; none where there is no frame to judge."""
        bundle = self._bundle
        if n_frames(n_samples, bundle.frame_hop_samples) == 0:
            return []
        return sliding_windows(
            n_samples,
            window_samples=bundle.window_samples,
            step_samples=bundle.step_samples,
            hop_samples=bundle.frame_hop_samples,
        )


def _perturber(bundle_path: Path, epsilon_db: float) -> Perturber:
    return Perturber(bundle_path, epsilon_db=epsilon_db)


def step_size(samples: Samples, epsilon_db: float) -> float:
    """Return the amplitude, in full scales, that lies `epsilon_db` above the RMS of `samples` (n,); 0 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return float(power**0.5 * 10.0 ** (epsilon_db / 20.0))


def _loss_and_gradient(bundle: Bundle) -> Callable[[Samples, int], tuple[float, Samples]]:
    """Return a function of a window (n,) and a class: the loss, and its gradient by each sample, float32 (n,)."""
    network = _network(bundle.keras_path)
    import tensorflow as tf

    # Of any length: traced once, not once for each length that a last window can have.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)])
    def slope(samples: Any, true_class: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(samples)
            logits = network(differentiable_log_mel(samples, bundle.features)[tf.newaxis], training=False)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits([true_class], logits["clip_logits"])[0]
        return loss, tape.gradient(loss, samples)

    def at(samples: Samples, true_class: int) -> tuple[float, Samples]:
        loss, gradient = slope(tf.constant(samples, tf.float32), tf.constant(true_class, tf.int32))
        return float(loss), np.asarray(gradient.numpy(), dtype=np.float32)

    return at


def _network(keras_path: Path) -> Any:
    """Load the Keras network.

    Raises
    ------
    ModelError
        When TensorFlow is missing, or the file holds no network that can be loaded.
    """
    try:
        from model.training.quiet import load_tensorflow

        load_tensorflow()
        import keras
    except ImportError:
        needed = "perturbing needs TensorFlow: install it with 'pip install tensorflow keras'"
        raise ModelError(needed) from None
    try:
        return keras.saving.load_model(keras_path, compile=False)
    except Exception as error:  # Keras and what it reads with raise whatever they like
        message = " ".join(str(error).split())
        raise ModelError(f"{keras_path}: expected a network of Keras, received {message[:200]}") from None
