"""What carries the scores: beside brute force, and with networks whose decision hangs on one known place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice, write_tiny_bundle

from audio.errors import ModelError, UsageError
from audio.segments import Segment, n_frames
from model.bundle import Bundle, read_bundle
from model.features import FeatureConfig, log_mel, mel_filters
from model.judging import explain as module
from model.judging.detector import Detector
from model.judging.explain import PATCH_FRAMES, PATCH_ROWS, Explanation, Occlusion, explain, explanation_text, rows_hz
from model.judging.runtime import Network
from model.judging.windows import overlap_add, sliding_windows

HOP, WINDOW = 320, 2 * RATE
LENGTHS = [161, 0.31 * RATE, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + 319, 5.03 * RATE]


class OnePlace:
    """A network whose every frame hangs on the mean of one place of the window, and on nothing else."""

    def __init__(self, time: slice, bands: slice, frames_per_score: int = 1) -> None:
        self.place, self.n_runs, self.frames_per_score = (slice(None), time, bands), 0, frames_per_score

    def frame_scores(self, features: np.ndarray) -> np.ndarray:
        self.n_runs += len(features)
        logits = features[self.place].mean(axis=(1, 2), dtype=np.float64)
        scores = 1 / (1 + np.exp(-logits))
        return np.repeat(scores[:, np.newaxis], features.shape[1] // self.frames_per_score, axis=1).astype(np.float32)


def bundle_of(features: FeatureConfig, *, window_s: int = 4) -> Bundle:
    return Bundle(Path("nowhere"), "made", window_s * RATE, window_s * RATE // 2, features=features)


def noise(n_samples: float, seed: int = 0) -> np.ndarray:
    return voice(np.random.default_rng(seed), n_samples / RATE, fake_s=[(0.2, 1.1), (2.6, 3.0)])


def logit(scores: np.ndarray) -> np.ndarray:
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def brute_force(samples: np.ndarray, explained: np.ndarray, bundle: Bundle, network: Network) -> np.ndarray:
    """The same map, one cell and one window at a time, joined as judging joins frame scores."""
    windows = sliding_windows(len(samples), window_samples=WINDOW, step_samples=RATE, hop_samples=HOP)
    spectra = [log_mel(samples[w.onset : w.offset], bundle.features) for w in windows]

    def score(column: int, row: int) -> float:
        pieces = []
        for window, whole in zip(windows, spectra, strict=True):
            x, first = whole.copy(), window.onset // HOP
            for frame in range(len(x)):
                if (first + frame // 2) // PATCH_FRAMES == column:
                    x[frame, 2 * row : 2 * row + 2] = 0.0
            pieces.append((first, logit(network.run(x)[0])))
        return float(overlap_add(pieces, len(explained))[explained].mean())

    shape = -(-len(explained) // PATCH_FRAMES), PATCH_ROWS
    return np.array([[score(-1, 0) - score(c, r) for r in range(shape[1])] for c in range(shape[0])])


@pytest.fixture(scope="module")
def wild_bundle(tmp_path_factory) -> Bundle:
    """A bundle whose network looks at all bands, some of them against fake."""
    weights = np.random.default_rng(3).normal(scale=0.3, size=32)
    return read_bundle(write_tiny_bundle(tmp_path_factory.mktemp("wild") / "bundle", weights=weights))


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_the_map_is_what_covering_one_cell_at_a_time_says(wild_bundle, n_samples):
    """Catches cells in the wrong place, windows joined otherwise than in judging, and batches that mix."""
    samples = noise(n_samples)
    explained = np.arange(n_frames(len(samples), HOP)) % 3 != 1
    explained[: len(explained) // 4] = False
    network = Network(wild_bundle.onnx_path, batches=True)
    found = explain(samples, explained, bundle=wild_bundle, network=network)
    assert found.effects.dtype == np.float32
    np.testing.assert_allclose(found.effects, brute_force(samples, explained, wild_bundle, network), atol=2e-5)
    assert found.score == pytest.approx(Occlusion(samples, explained, bundle=wild_bundle, network=network).score())
    one_by_one = explain(samples, explained, bundle=wild_bundle, network=Network(wild_bundle.onnx_path))
    np.testing.assert_allclose(found.effects, one_by_one.effects, atol=1e-6)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (5, 8), (19, 15)])
def test_one_place_carries_everything_and_nothing_else_does(column, row):
    samples, features = noise(4 * RATE), FeatureConfig()
    place = slice(10 * column, 10 * column + 10), slice(8 * row, 8 * row + 8)
    found = explain(samples, np.ones(200, bool), bundle=bundle_of(features), network=OnePlace(*place))
    expected = np.zeros((20, 16))
    expected[column, row] = log_mel(samples, features)[place].mean()
    np.testing.assert_allclose(found.effects, expected, atol=1e-5)
    assert np.count_nonzero(found.effects) == 1
    assert found.score == pytest.approx(expected[column, row], abs=1e-5)


def test_both_sets_of_bands_are_covered_together():
    """Catches a second analysis window that goes on showing what was hidden from the first."""
    features = FeatureConfig(n_mels=32, hop_samples=160, second_n_fft=256)
    network = OnePlace(slice(100, 120), slice(32 + 4, 32 + 6), 2)
    found = explain(noise(4 * RATE), np.ones(200, bool), bundle=bundle_of(features), network=network)
    assert np.argwhere(found.effects).tolist() == [[5, 2]]


def test_a_network_that_hears_nothing_has_an_empty_map(tmp_path):
    bundle = read_bundle(write_tiny_bundle(tmp_path, weights=np.zeros(32)))
    found = explain(noise(3 * RATE), np.ones(150, bool), bundle=bundle, network=Network(bundle.onnx_path, batches=True))
    assert not found.effects.any()
    assert (found.share_inside(found.explained), found.strongest_rows(True)) == (None, [])
    assert explanation_text(found, [Segment(0, 16_000)]) == "no part of the spectrogram alone carries the scores"


def test_windows_without_explained_frames_are_not_run():
    """Catches an hour of work for a span of a second; what no explained frame can hear has an effect of 0."""
    explained = np.zeros(3_000, bool)
    explained[510:520] = True  # windows start every 100 frames and are 200 long: those at 400 and 500 hold it
    network = OnePlace(slice(None), slice(None))
    found = explain(noise(60 * RATE), explained, bundle=bundle_of(FeatureConfig()), network=network)
    assert np.flatnonzero(found.effects.any(axis=1)).tolist() == list(range(40, 70))
    assert network.n_runs == 2 * (20 * 16 + 1 + 1)


@pytest.mark.parametrize("most", [1, 3])
def test_a_long_recording_is_explained_from_its_beginning(most, monkeypatch):
    """The frames that are left out count for nothing, and those that are not are explained in full."""
    samples, bundle, network = noise(20 * RATE), bundle_of(FeatureConfig()), OnePlace(slice(7), slice(9))
    explained = np.arange(1_000) > 150
    monkeypatch.setattr(module, "MOST_WINDOWS", most)
    found = explain(samples, explained, bundle=bundle, network=network)
    n_explained = {1: 1, 3: 149}[most]  # up to the second window that holds some, but one at least; up to the fourth
    assert np.flatnonzero(found.explained).tolist() == list(range(151, 151 + n_explained))
    assert found.n_left_out == 849 - n_explained
    monkeypatch.undo()
    alone = explain(samples, found.explained, bundle=bundle, network=network)
    np.testing.assert_array_equal(found.effects, alone.effects)
    told = explanation_text(found, [Segment(0, 320_000)])
    assert ("first 3 of 17 s" in told) == (most == 3)


@pytest.mark.parametrize("explained", [np.zeros(150, bool), np.ones(149, bool), np.ones((150, 1), bool)])
def test_frames_that_cannot_be_explained_are_named(explained):
    with pytest.raises(UsageError, match="explain: expected one or more of 150 frames, received"):
        explain(noise(3 * RATE), explained, bundle=bundle_of(FeatureConfig()), network=OnePlace(slice(1), slice(1)))


def test_a_network_with_other_frames_is_named():
    network = OnePlace(slice(1), slice(1), frames_per_score=2)
    with pytest.raises(ModelError, match="explain: expected 150 frame scores a window, received 75"):
        explain(noise(3 * RATE), np.ones(150, bool), bundle=bundle_of(FeatureConfig()), network=network)


def test_shares_beside_brute_force():
    rng = np.random.default_rng(0)
    effects = rng.normal(size=(4, 16)).astype(np.float32)
    found = Explanation(effects, np.ones(33, bool), 0, 0.0, rows_hz(FeatureConfig()), HOP)
    frames = rng.random(33) < 0.4
    lengths = [10, 10, 10, 3]
    inside = whole = 0.0
    for column, row in np.ndindex(effects.shape):
        for frame in range(10 * column, 10 * column + lengths[column]):
            part = max(0.0, float(effects[column, row])) / lengths[column]
            whole += part
            inside += part * frames[frame]
    assert found.share_inside(frames) == pytest.approx(inside / whole)
    assert found.share_inside(np.ones(33, bool)) == pytest.approx(1.0)
    assert found.columns_s.tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.66])
    for fake, sign in ((True, 1), (False, -1)):
        sums = np.maximum(sign * effects.astype(np.float64), 0).sum(axis=0)
        order = sorted(range(16), key=lambda row: -sums[row])[:3]
        expected = [(*found.rows_hz[[row, row + 1]], sums[row] / sums.sum()) for row in order]
        np.testing.assert_allclose(found.strongest_rows(fake), expected, rtol=1e-6)


@pytest.mark.parametrize(("n_mels", "n_rows"), [(128, 16), (32, 16), (20, 16), (5, 5)])
def test_rows_hold_the_peaks_of_their_bands(n_mels, n_rows):
    config = FeatureConfig(n_mels=n_mels)
    edges = rows_hz(config)
    assert (len(edges), edges[0], edges[-1]) == (n_rows + 1, 0.0, 8_000.0)
    peaks = mel_filters(config).argmax(axis=0) * 16_000 / config.n_fft
    places = np.searchsorted(edges, peaks) - 1
    rows = np.searchsorted(np.linspace(0, n_mels, n_rows + 1).astype(int), np.arange(n_mels), side="right") - 1
    assert np.mean(places == rows) > 0.9  # a peak that is rounded to a bin of the spectrum may cross the border


# Through the detector.


@pytest.fixture(scope="module")
def detector(tiny_bundle) -> Detector:
    return Detector(tiny_bundle)


def test_the_tiny_network_points_at_what_it_takes_for_fake(detector):
    samples = voice(np.random.default_rng(0), 7, fake_s=[(1, 2), (4.2, 5)])
    detection = detector.detect(samples)
    found = detector.explain(samples, detection)
    spans = np.zeros(350, bool)
    spans[50:100] = spans[210:250] = True
    assert np.mean(found.explained == spans) > 0.98
    assert found.share_inside(spans) > 0.95
    assert all(low > 5_000 for low, _, _ in found.strongest_rows(True))
    told = explanation_text(found, detection.spans)
    assert told.startswith("what raises the fake scores: ")
    assert "% of it in the spans judged fake, most at " in told
    assert "kHz" in told


def test_a_real_verdict_is_explained_over_all_speech(detector):
    samples = np.concatenate([voice(np.random.default_rng(0), 3), np.zeros(RATE, np.float32)])
    detection = detector.detect(samples)
    found = detector.explain(samples, detection)
    assert (detection.label, found.explained[:150].all(), found.explained[160:].any()) == ("real", True, False)
    assert found.towards(False).sum() > 10 * found.towards(True).sum()
    assert explanation_text(found, ()).startswith("what keeps the fake scores down: most at ")


def test_an_abstention_has_nothing_to_explain(detector):
    silence = np.zeros(RATE, np.float32)
    with pytest.raises(UsageError, match="expected a result with a verdict"):
        detector.explain(silence, detector.detect(silence))
