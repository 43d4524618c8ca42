"""The gradient-sign perturbation, on a network written by hand whose ONNX twin judges: see `tiny_model`."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import BAND_GAIN, RATE, voice, write_tiny_bundle

from audio.errors import ModelError, ToolkitError
from audio.labels import FAKE, HYBRID, LABELS, REAL, label_index
from audio.manifest import Clip
from model import Detector
from model.bundle import read_bundle, write_bundle
from model.features import FeatureConfig, log_mel
from model.judging.windows import sliding_windows
from model.training.perturb import EPSILON_DB, Perturber, differentiable_log_mel, step_size

CONFIGS = [
    FeatureConfig(),
    FeatureConfig(n_mels=32, hop_samples=160, normalise_bands=False),
    FeatureConfig(n_fft=512, hop_samples=80, n_mels=64, f_min_hz=50.0, f_max_hz=7_000.0, floor_db=-60.0),
    FeatureConfig(n_fft=400, hop_samples=320, n_mels=40, floor_db=-40.0),
    FeatureConfig(n_fft=321, hop_samples=320, n_mels=20),
]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """The tiny bundle, with a Keras file that computes what its ONNX file does."""
    import keras
    from keras import layers

    folder = write_tiny_bundle(tmp_path_factory.mktemp("perturb") / "bundle")
    spectrogram = keras.Input((None, 32), name="features")
    band = layers.Dense(1, use_bias=False)(spectrogram)
    band = layers.Dropout(0.5)(band)  # nothing, unless somebody perturbs a network as if it were being trained
    logits = layers.AveragePooling1D(2)(band)
    frames = layers.Activation("sigmoid", name="frames")(logits)
    clip = layers.Dense(3, name="clip_logits")(layers.GlobalAveragePooling1D()(frames))
    network = keras.Model(spectrogram, {"frames": frames, "clip_logits": clip})
    slope, offset = np.array([[-12.0, 12.0, 0.0]]), np.array([1.8, -9.0, 0.0])
    network.set_weights([BAND_GAIN[:, None], slope, offset])
    network.save(folder / "model.keras")
    write_bundle(read_card(folder))
    return folder


def read_card(folder: Path):
    """The facts of a tiny bundle whose Keras file was replaced."""
    from tiny_model import FEATURES

    from model.bundle import Bundle

    return Bundle(folder, "tiny", window_samples=2 * RATE, step_samples=RATE, features=FEATURES)


@pytest.fixture(scope="module")
def perturber(bundle) -> Perturber:
    return Perturber(bundle)


def speech(seed: int, seconds: float = 2.0, *, fake_s=()) -> np.ndarray:
    """A voice over a little hiss, so that no band is empty."""
    rng = np.random.default_rng(seed)
    samples = voice(rng, seconds, fake_s=fake_s)
    return samples + 1e-3 * rng.standard_normal(samples.size).astype(np.float32)


def twin(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
    import tensorflow as tf

    return differentiable_log_mel(tf.constant(samples, tf.float32), config).numpy()


def losses(detector: Detector, samples: np.ndarray, label: str) -> float:
    """The mean cross-entropy of the windows by the ONNX network and the features in NumPy: the oracle."""
    logits = [
        detector._system.judge(samples[w.onset : w.offset])[1].astype(np.float64)
        for w in sliding_windows(len(samples), window_samples=2 * RATE, step_samples=RATE, hop_samples=320)
    ]
    return float(np.mean([np.log(np.exp(x - x[label_index(label)]).sum()) for x in logits]))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("n_samples", [1, 159, 160, 479, 480, 1_000, 6_400, 32_123, 64_319])
def test_the_twin_equals_log_mel(config: FeatureConfig, n_samples: int) -> None:
    """Catches another window, padding, norm, floor or rounding of frames than the network was trained on."""
    samples = speech(n_samples, n_samples / RATE, fake_s=[(0.5, 1.0)])
    for given in (samples, 1e-5 * samples, np.concatenate([np.zeros(n_samples, np.float32), samples])):
        expected, found = log_mel(given, config), twin(given, config)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max(initial=0) < 1e-4


@pytest.mark.parametrize("config", CONFIGS)
def test_the_twin_of_silence_is_silent_and_so_is_its_slope(config: FeatureConfig) -> None:
    """Catches 0 / 0, and the root of 0, whose gradient would turn a whole recording into NaN."""
    import tensorflow as tf

    silence = tf.zeros(5_000)
    with tf.GradientTape() as tape:
        tape.watch(silence)
        features = differentiable_log_mel(silence, config)
        summed = tf.reduce_sum(features * tf.random.normal(features.shape, seed=1))
    assert not features.numpy().any()
    assert not tape.gradient(summed, silence).numpy().any()


@pytest.mark.parametrize("config", CONFIGS[:3])
def test_the_slope_is_that_of_log_mel(config: FeatureConfig) -> None:
    """Catches a gradient cut off somewhere: finite differences through NumPy know nothing of TensorFlow."""
    import tensorflow as tf

    rng = np.random.default_rng(4)
    samples = tf.constant(speech(5, 0.5), tf.float32)
    weights = rng.standard_normal(log_mel(samples.numpy(), config).shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(samples)
        summed = tf.reduce_sum(differentiable_log_mel(samples, config) * weights)
    gradient = tape.gradient(summed, samples).numpy()
    direction = np.sign(gradient)
    step = 1e-5
    up, down = (
        np.sum(log_mel(samples.numpy() + sign * step * direction, config).astype(np.float64) * weights)
        for sign in (1, -1)
    )
    assert (up - down) / (2 * step) == pytest.approx(float(np.sum(gradient * direction)), rel=0.05)


@pytest.mark.parametrize(
    ("label", "fake_s"), [(REAL, []), (FAKE, [(0.0, 5.0)]), (HYBRID, [(1.0, 3.0)])], ids=[REAL, FAKE, HYBRID]
)
def test_it_raises_the_loss_more_than_chance_does(label: str, fake_s, bundle: Path, perturber: Perturber) -> None:
    """Catches a step downhill, or against another class; random signs of the same size hardly matter."""
    detector, samples = Detector(bundle), speech(6, 5.0, fake_s=fake_s)
    perturber_loss = perturber.loss(samples, label)
    clean = losses(detector, samples, label)
    assert perturber_loss == pytest.approx(clean, abs=1e-3)
    moved = losses(detector, perturber.perturb(samples, label), label)
    step = np.float32(step_size(samples, EPSILON_DB))
    signs = [np.random.default_rng(seed).choice(np.float32([-1, 1]), samples.size) for seed in range(3)]
    by_chance = [losses(detector, samples + step * sign, label) for sign in signs]
    assert moved > clean
    assert moved - clean > 2 * max(abs(chance - clean) for chance in by_chance)


def test_the_step_is_as_large_as_it_says(bundle: Path) -> None:
    """Catches an amplitude that is absolute, or of the peak: quiet recordings would drown in it."""
    for gain, epsilon_db in ((1.0, -40.0), (0.01, -40.0), (1.0, -20.0)):
        samples = np.float32(gain) * speech(7, 2.5)
        change = Perturber(bundle, epsilon_db=epsilon_db).perturb(samples, REAL) - samples
        ratio_db = 10 * np.log10(np.mean(np.square(change, dtype=float)) / np.mean(np.square(samples, dtype=float)))
        assert ratio_db == pytest.approx(epsilon_db, abs=0.1)
        assert np.abs(change).max() == pytest.approx(step_size(samples, epsilon_db), rel=1e-3)


def test_windows_that_overlap_take_one_step(perturber: Perturber) -> None:
    """Catches windows that step one after the other: twice as far where two of them look, and by halves at seams."""
    samples = speech(8, 5.13)
    step = step_size(samples, EPSILON_DB)
    steps = (perturber.perturb(samples, FAKE).astype(np.float64) - samples) / step
    assert np.abs(steps - np.round(steps)).max() < 1e-2
    assert set(np.round(steps).astype(int)) <= {-1, 0, 1}
    assert np.count_nonzero(np.round(steps)) > 0.99 * samples.size


def test_windows_are_summed(perturber: Perturber) -> None:
    """The brute force: the slope of each window alone, added up where it lies."""
    samples = speech(9, 4.2)
    total = np.zeros(samples.size)
    for onset in (0, RATE, 2 * RATE, (samples.size - 2 * RATE) // 320 * 320):
        offset = samples.size if onset > 2 * RATE else onset + 2 * RATE
        total[onset:offset] += perturber._gradient(samples[onset:offset], label_index(REAL))[1]
    expected = samples + step_size(samples, EPSILON_DB) * np.sign(total)
    assert np.mean(np.abs(perturber.perturb(samples, REAL) - expected) < 1e-7) > 0.999


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 6_399, 31_999, 32_000, 32_001, 32_319, 32_320, 70_000])
def test_every_length_works(n_samples: int, perturber: Perturber) -> None:
    """Catches the last window, which may be longer, and recordings without a frame."""
    samples = speech(10, 5.0)[:n_samples]
    found = perturber.perturb(samples, HYBRID)
    assert (found.shape, found.dtype) == (samples.shape, np.float32)
    assert np.isfinite(found).all()
    assert (perturber.loss(samples, HYBRID) is None) == (n_samples < 160)
    if n_samples < 160:
        assert np.array_equal(found, samples)


def test_silence_stays_silent(perturber: Perturber) -> None:
    silence = np.zeros(3 * RATE, np.float32)
    assert not perturber.perturb(silence, REAL).any()
    half = np.concatenate([np.zeros(5 * RATE, np.float32), speech(11)])
    assert np.isfinite(perturber.perturb(half, REAL)).all()
    assert not perturber.perturb(half, REAL)[: 2 * RATE].any()


def test_a_recording_is_perturbed_alone(perturber: Perturber) -> None:
    """Catches state kept between two calls, and sums whose order is up to threads."""
    samples = speech(12, 3.0)
    first = perturber.perturb(samples, FAKE)
    perturber.perturb(speech(13, 4.0), REAL)
    assert np.array_equal(perturber.perturb(samples, FAKE), first)


def test_it_travels_to_a_worker(bundle: Path) -> None:
    """Catches a running network in a pickle, and a step size left behind."""
    sent = Perturber(bundle, epsilon_db=-30.0)
    received = pickle.loads(pickle.dumps(sent))
    samples, clip = speech(14), Clip("a.wav", FAKE, n_samples=2 * RATE)
    (found, after), (again, _) = received([(samples, clip), (samples, replace(clip, label=REAL))])
    assert after == clip
    assert np.array_equal(found, sent.perturb(samples, FAKE))
    assert not np.array_equal(found, again)


def test_unknown_labels_are_refused(perturber: Perturber) -> None:
    with pytest.raises(ToolkitError, match=f"expected one of {', '.join(LABELS)}, received 'spoof'"):
        perturber.perturb(speech(15), "spoof")


def test_a_keras_file_that_is_none(tmp_path: Path) -> None:
    """Catches a page of somebody else's exceptions."""
    folder = write_tiny_bundle(tmp_path / "bundle")
    with pytest.raises(ModelError, match=r"model\.keras: expected a network of Keras, received") as caught:
        Perturber(folder)
    assert "\n" not in str(caught.value)


def test_a_keras_file_that_is_missing(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    (folder / "model.keras").unlink()
    with pytest.raises(ModelError, match=r"model\.keras: expected a model file: No such file or directory$"):
        Perturber(folder)


def test_tensorflow_that_is_missing(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback where only judging is installed."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModelError, match=r"^perturbing needs TensorFlow: install it with 'pip install tensorflow"):
        Perturber(bundle)


def test_importing_it_loads_no_tensorflow() -> None:
    """Catches seconds of waiting for a command that only might perturb."""
    code = "import sys, model.training.perturb; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_bundle_is_the_one_that_judges(bundle: Path) -> None:
    """Proves the fixture: both files of the tiny bundle say the same."""
    import keras

    assert read_bundle(bundle).keras_path.is_file()
    features = log_mel(speech(16), read_bundle(bundle).features)
    frames, logits = Detector(bundle)._system.network.run(features)
    expected = keras.saving.load_model(bundle / "model.keras").predict(features[None], verbose=0)
    assert np.abs(frames - expected["frames"][0, :, 0]).max() < 1e-5
    assert np.abs(logits - expected["clip_logits"][0]).max() < 1e-5
