"""Examples: pure functions of (set, seed, step), labels that follow the crop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice
from tiny_set import N_SAMPLES, write_tiny_set

from audio.errors import ManifestError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import Segment
from model.features import FRAME_HOP_SAMPLES, FeatureConfig, log_mel
from model.training.examples import (
    Augmentation,
    Batches,
    TrainingSet,
    Window,
    _mask,
    _mixed,
    _noise,
    _talker,
    boundaries,
    example,
    fixed_windows,
    read_set,
    twin_examples,
)
from model.training.recordings import Filed, Splices

FEATURES = FeatureConfig(hop_samples=320, n_mels=32)


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    return read_set(write_tiny_set(tmp_path_factory.mktemp("set")), seed=0)


def batches(tiny_set, **kwargs) -> Batches:
    settings = {"window": Window(RATE, FEATURES), "batch_size": 5, "seed": 3} | kwargs
    return Batches(tiny_set.split("train"), **settings)


def test_a_batch_depends_on_its_number_alone(tiny_set):
    fresh = batches(tiny_set).batch(7)
    warm = batches(tiny_set)
    for step in (0, 3, 7, 1):
        warm.batch(step)
    for a, b in zip(fresh, warm.batch(7), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seed_and_epoch_change_what_is_drawn(tiny_set):
    one, other_seed, other_epoch = batches(tiny_set), batches(tiny_set, seed=4), 2
    assert not np.array_equal(one.batch(0)[0], other_seed.batch(0)[0])
    assert not np.array_equal(one.batch(0)[0], one.batch(other_epoch)[0])


def test_an_epoch_visits_no_clip_twice(tiny_set):
    made = batches(tiny_set)
    assert made.steps_per_pass == 2
    for epoch in range(4):
        seen = [i for step in range(2) for unit in made.units(2 * epoch + step) for i in unit]
        assert len(seen) == len(set(seen)) == 10


def test_a_set_smaller_than_a_batch_is_one_batch(tiny_set):
    made = batches(tiny_set, batch_size=100)
    assert made.steps_per_pass == 1
    assert len(made.batch(0)[0]) == 12


def test_shapes_and_types(tiny_set):
    features, frames, weights, classes = batches(tiny_set).batch(0)
    assert features.shape == (5, 50, 32)
    assert frames.shape == (5, 50, 1)
    assert weights.shape == (5, 50)
    assert classes.shape == (5, 3)
    assert {a.dtype for a in (features, frames, weights, classes)} == {np.dtype(np.float32)}
    assert (classes.sum(axis=1) == 1).all()


@pytest.mark.parametrize("seed", range(12))
def test_frames_and_label_follow_the_crop(tiny_set, seed):
    clip = next(c for c in tiny_set.clips if c.label == HYBRID)
    window = 8_000
    made = example(Filed(tiny_set, clip), (), window=Window(window, FEATURES), rng=np.random.default_rng(seed))
    onset = int(np.random.default_rng(seed).integers(0, N_SAMPLES - window + 1))
    is_fake = np.zeros(N_SAMPLES, bool)
    is_fake[8_000:16_000] = True
    expected = is_fake[onset : onset + window].reshape(-1, FRAME_HOP_SAMPLES).any(axis=1)
    np.testing.assert_array_equal(made.frames[:, 0] > 0, expected)
    share = expected.mean()
    assert LABELS[made.label] == (REAL if share == 0 else FAKE if share >= 0.9 else HYBRID)


def test_without_a_generator_the_middle_is_cut_and_nothing_masked(tiny_set):
    clip = tiny_set.clips[0]
    recording, window = Filed(tiny_set, clip), Window(8_000, FEATURES)
    made = example(recording, tiny_set, window=window, rng=None, augmentation=Augmentation())
    from audio.reading import read

    middle = read(tiny_set.path(clip))[8_000:16_000]
    np.testing.assert_array_equal(made.features, log_mel(middle, FEATURES))


def test_a_short_clip_is_repeated_with_its_spans(tmp_path):
    samples = voice(np.random.default_rng(1), 0.5, fake_s=[(0.1, 0.3)])
    write_wav(tmp_path / "short.wav", samples)
    clip = Clip("short.wav", HYBRID, segments=(Segment(1_600, 4_800),), n_samples=8_000, split="train")
    write_manifest(tmp_path / "manifest.jsonl", [clip, Clip("other.wav", REAL, split="dev")])
    recording = Filed(read_set(tmp_path, seed=0), clip)
    made = example(recording, (), window=Window(16_000, FEATURES), rng=np.random.default_rng(0))
    once = np.zeros(25, bool)
    once[5:15] = True
    np.testing.assert_array_equal(made.frames[:, 0] > 0, np.tile(once, 2))


def test_masks_cover_whole_bands_and_moments_and_no_more_than_asked(tiny_set):
    masks = Augmentation(max_speed_change=0.0, mix_share=0.0, n_masks=2, max_bands=4, max_time_s=0.1)
    for seed in range(20):
        rng, window = np.random.default_rng(seed), Window(N_SAMPLES, FEATURES)
        made = example(tiny_set[0], tiny_set, window=window, rng=rng, augmentation=masks)
        zero = made.features == 0
        assert zero.all(axis=0).sum() <= 8
        assert zero.all(axis=1).sum() <= 10
        assert zero[:, ~zero.all(axis=0)].any() <= zero.all(axis=1).any()


@pytest.mark.parametrize("seed", range(20))
def test_mixing_replaces_sound_and_truth_at_the_same_samples(tmp_path, seed):
    """A published implementation cut the two at different points."""
    rng = np.random.default_rng(seed)
    clips = []
    for name, level, label in (("quiet", 0.1, REAL), ("loud", 0.3, FAKE)):
        write_wav(tmp_path / f"{name}.wav", np.full(16_000, level, np.float32))
        clips.append(Clip(f"{name}.wav", label, n_samples=16_000, split="train"))
    found = TrainingSet(tmp_path, tuple(clips[1:]), has_spans=True)  # nothing but the fake clip to mix in
    before = (np.linspace(0.1, 0.2, 16_000, dtype=np.float32), np.zeros(16_000, bool))
    samples, is_fake = _mixed(found, before, Augmentation(max_speed_change=0.0, mix_share=1.0), rng)
    # The fake clip is constant, so wherever it is heard the slope is gone or bent.
    np.testing.assert_array_equal(samples != before[0], is_fake)
    onset, length = int(is_fake.argmax()), int(is_fake.sum())
    assert is_fake[onset : onset + length].all()
    assert 0.3 * RATE <= length + 1 <= 8_001


def test_mixing_into_fake_leaves_it_fake_where_both_sound(tmp_path):
    write_wav(tmp_path / "real.wav", np.full(16_000, 0.1, np.float32))
    found = TrainingSet(tmp_path, (Clip("real.wav", REAL, n_samples=16_000),), has_spans=True)
    before = (np.linspace(0.1, 0.2, 16_000, dtype=np.float32), np.ones(16_000, bool))
    fades = Augmentation(max_speed_change=0.0, mix_share=1.0, mix_fades_samples=(320,))
    samples, is_fake = _mixed(found, before, fades, np.random.default_rng(0))
    changed = samples != before[0]
    assert 2 * 320 - 2 <= (changed & is_fake).sum() <= 2 * 320 + 2, "two fades"
    assert (~is_fake).sum() > 0


def test_nothing_is_mixed_where_spans_are_unknown(tiny_set):
    plain = TrainingSet(tiny_set.manifest_path, tiny_set.clips, has_spans=False)
    window = Window(RATE, FEATURES)
    always = Augmentation(max_speed_change=0.0, mix_share=1.0, n_masks=0)
    for recording in plain[0], plain[1], plain[2]:
        mixed = example(recording, plain, window=window, rng=np.random.default_rng(0), augmentation=always)
        plain_cut = example(recording, plain, window=window, rng=np.random.default_rng(0))
        np.testing.assert_array_equal(mixed.features, plain_cut.features)


def test_a_plain_folder_trains_classes_only(tmp_path):
    for label in LABELS:
        for index in range(10):
            (tmp_path / label).mkdir(exist_ok=True)
            write_wav(tmp_path / label / f"{index}.wav", voice(np.random.default_rng(index), 1.2))
    found = read_set(tmp_path, seed=0)
    assert not found.has_spans
    counts = {name: len(found.split(name).clips) for name in ("train", "dev", "test")}
    assert counts == {"train": 21, "dev": 3, "test": 6}
    assert {c.label for c in found.split("dev").clips} == set(LABELS)
    assert read_set(tmp_path, seed=0) == found
    assert read_set(tmp_path, seed=1) != found
    _, frames, weights, classes = Batches(found.split("train"), Window(8_000, FEATURES), 21, seed=0).batch(0)
    known = weights[:, 0] > 0
    assert known.sum() == 14, "frames of hybrids are unknown"
    np.testing.assert_array_equal(frames[known].mean(axis=(1, 2)), classes[known, 1])


def test_sets_without_the_needed_splits_are_refused(tmp_path):
    write_manifest(tmp_path / "manifest.jsonl", [Clip("a.wav", REAL, split="train")])
    with pytest.raises(ManifestError, match="'dev'"):
        read_set(tmp_path, seed=0)
    with pytest.raises(ManifestError, match="expected a folder"):
        read_set(tmp_path / "nowhere", seed=0)


def test_an_empty_recording_is_named(tmp_path):
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    clips = [Clip("empty.wav", REAL, split="train"), Clip("b.wav", REAL, split="dev")]
    write_manifest(tmp_path / "manifest.jsonl", clips)
    with pytest.raises(ManifestError, match=r"empty\.wav"):
        example(Filed(read_set(tmp_path, seed=0), clips[0]), (), window=Window(8_000, FEATURES), rng=None)


def test_fixed_windows_stack_a_whole_split(tiny_set):
    features, frames, _, classes = fixed_windows(tiny_set.split("dev"), Window(N_SAMPLES, FEATURES))
    assert features.shape == (6, 75, 32)
    assert [LABELS[i] for i in classes.argmax(axis=1)] == [c.label for c in tiny_set.split("dev").clips]
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), [0, 1, 25 / 75] * 2, atol=1e-6)


@dataclass(frozen=True)
class Heard:
    """An example spliced on the fly."""

    samples: np.ndarray
    label: str
    segments: tuple[Segment, ...]


def spliced(number: int) -> list[Heard]:
    """Three examples of 2 s; the hybrid's span depends on the number of the batch."""
    onset = 1_600 * (number % 10)
    spans = {REAL: (), FAKE: (Segment(0, 32_000),), HYBRID: (Segment(onset, onset + 3_200),)}
    return [
        Heard(voice(np.random.default_rng((number, i)), 2.0), label, spans[label]) for i, label in enumerate(LABELS)
    ]


def test_splices_take_the_place_of_the_training_split(tiny_set):
    """Catches batches that ignore the splices, lose their truth, or depend on what was asked for before."""
    empty = TrainingSet(tiny_set.manifest_path, (), has_spans=True)
    made = Batches(empty, Window(32_000, FEATURES), 3, 5, augmentation=None, splices=Splices(spliced, 4))
    assert made.steps_per_pass == 4
    for step in (3, 7, 3):
        features, frames, weights, classes = made.batch(step)
        assert features.shape == (3, 100, 32)
        assert classes.argmax(axis=1).tolist() == [0, 1, 2]
        first = 5 * (step % 10)
        np.testing.assert_array_equal(np.flatnonzero(frames[2, :, 0]), np.arange(first, first + 10))
        assert frames[1].all()
        assert not frames[0].any()
        assert weights.all()
        np.testing.assert_array_equal(features, made.batch(step)[0])


def test_splices_are_mixed_with_each_other():
    """Catches partners taken from the set, whose training split may be empty."""
    empty = TrainingSet(Path("nowhere"), (), has_spans=True)
    mixing = Augmentation(max_speed_change=0.0, mix_share=1.0, n_masks=0)
    made = Batches(empty, Window(32_000, FEATURES), 3, 5, augmentation=mixing, splices=Splices(spliced, 4))
    frames = [made.batch(step)[1] for step in range(8)]
    assert any(batch[0].any() for batch in frames), "something fake came into a real one"


def test_boundaries_are_the_frames_around_a_change():
    """By brute force: a frame is marked where a change lies between frames at most two away on either side."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 10, 50):
        frames = (rng.random((4, n, 1)) < 0.2).astype(np.float32)
        marked = boundaries(frames)
        assert marked.shape == frames.shape
        for clip in range(4):
            changes = [k for k in range(n - 1) if frames[clip, k, 0] != frames[clip, k + 1, 0]]
            near = {k + shift for k in changes for shift in (-1, 0, 1, 2)} & set(range(n))
            assert set(np.flatnonzero(marked[clip, :, 0])) == near


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_as_loud_as_asked_and_only_where_asked(seed):
    """Catches a noise that drowns the speech, noise in silence, and draws that change runs without noise."""
    rng = np.random.default_rng(seed)
    speech = voice(rng, 1.0)
    found = _noise(speech, Augmentation(noise_share=1.0, noise_snr_db=(20.0, 20.0)), rng)
    assert found.dtype == np.float32
    assert 10 * np.log10(np.mean(speech**2) / np.mean(found**2)) == pytest.approx(20.0, abs=0.1)
    state = rng.bit_generator.state
    assert not np.any(_noise(speech, Augmentation(), rng))
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("seed", range(5))
def test_who_speaks_behind_is_genuine_and_as_soft_as_asked(tiny_set, seed):
    """Catches a fake voice behind a genuine one, which nothing would tell the truth about; and too loud a voice."""
    rng = np.random.default_rng(seed)
    speech = voice(rng, 1.0)
    behind = Augmentation(talker_share=1.0, talker_snr_db=(20.0, 20.0))
    genuine = [each for each in tiny_set if each.label == REAL]
    mixed = [*(each for each in tiny_set if each.label != REAL), *genuine]
    found = _talker(speech, mixed, behind, rng)
    assert 10 * np.log10(np.mean(speech**2) / np.mean(found**2)) == pytest.approx(20.0, abs=0.1)
    fakes = [each for each in tiny_set if each.label == FAKE]
    assert not np.any(_talker(speech, fakes, behind, rng)), "better nobody than a fake"
    state = rng.bit_generator.state
    assert not np.any(_talker(speech, genuine, Augmentation(), rng))
    assert rng.bit_generator.state == state


def test_twins_hear_the_same_talker_and_keep_their_truth(paired_set):
    drowned = Augmentation(
        max_speed_change=0.0, swap_share=0.0, n_masks=0, talker_share=1.0, talker_snr_db=(-100.0, -100.0)
    )
    one, other = twin_examples(
        pair_of(paired_set, 0), paired_set, window=Window(RATE, FEATURES), seed=(1,), augmentation=drowned
    )
    assert np.abs(one.features - other.features).max() < 0.1
    assert (one.frames.max(), other.frames.min()) == (0, 1)


def test_masks_cover_the_same_bands_of_both_analysis_windows():
    features = FeatureConfig(n_mels=32, second_n_fft=512)
    spectrogram = np.ones((100, 64), dtype=np.float32)
    _mask(spectrogram, Augmentation(n_masks=3, max_bands=8), features, np.random.default_rng(1))
    np.testing.assert_array_equal(spectrogram[:, :32], spectrogram[:, 32:])
    assert 0 < np.count_nonzero(spectrogram == 0) < spectrogram.size


@pytest.fixture(scope="module")
def paired_set(tmp_path_factory):
    """Four pairs and four clips of their own; the fake of a pair has the upper band of `voice`, and half the level."""
    folder = tmp_path_factory.mktemp("paired")
    clips = []
    for k in range(4):
        for label, spans in ((REAL, []), (FAKE, [(0.0, 3.0)])):
            samples = voice(np.random.default_rng(k), 3, fake_s=spans)
            write_wav(folder / label / f"{k}.wav", samples if label == REAL else 0.5 * samples)
            whole = (Segment(0, 3 * RATE),) if spans else ()
            source = f"real/{k}.wav" if spans else ""
            clips.append(
                Clip(f"{label}/{k}.wav", label, whole, 3 * RATE, speaker="s", split="train", source_clip=source)
            )
        write_wav(folder / "alone" / f"{k}.wav", voice(np.random.default_rng(10 + k), 3))
        clips.append(Clip(f"alone/{k}.wav", REAL, (), 3 * RATE, speaker="s", split="train"))
    write_manifest(folder / "manifest.jsonl", clips)
    return read_set(folder, seed=0, needed=("train",))


def pair_of(paired_set, number: int):
    genuine, fake = batches(paired_set).twins[number]
    return paired_set[genuine], paired_set[fake]


def test_pairs_stay_together_and_a_pass_visits_no_clip_twice(paired_set):
    made = batches(paired_set, batch_size=6)
    assert len(made.twins) == 4
    assert made.steps_per_pass == 2
    for number in range(3):
        units = [unit for step in range(2) for unit in made.units(2 * number + step)]
        assert sorted(map(len, units)) == [1, 1, 1, 1, 2, 2, 2, 2]
        assert len({i for unit in units for i in unit}) == 12
    assert made.batch(0)[0].shape[0] == 6


def test_twins_that_swap_are_fake_where_the_other_is_not(paired_set):
    """Frame by frame, one of the two windows is fake; fades, where both sound, may make both so."""
    swapping = Augmentation(max_speed_change=0.0, swap_share=1.0, n_masks=0, mix_fades_samples=(0,))
    window, swapped = Window(2 * RATE, replace(FEATURES, normalise_bands=False)), 0
    for seed in range(20):
        one, other = twin_examples(
            pair_of(paired_set, seed % 4),
            (),
            window=window,
            seed=(seed,),
            augmentation=swapping,
        )
        both = one.frames + other.frames
        assert both.min() >= 1, "every frame is fake in one of them"
        assert both.sum() - len(both) <= 2 * swapping.max_swaps, "and in both only where a swap ends inside a frame"
        swapped += 0 < one.frames.sum() < len(one.frames)
        upper = one.features[:, -2:].mean(axis=1) > other.features[:, -2:].mean(axis=1)
        clear = np.abs(one.frames - other.frames)[:, 0] == 1
        assert (upper[clear] == (one.frames[clear, 0] == 1)).mean() > 0.9, "labels follow the samples"
    assert swapped >= 15


def test_twins_get_the_same_noise(paired_set):
    """Catches noise of its own in each twin: drowned in the same noise they look the same, in others they do not."""
    noise = {"noise_share": 1.0, "noise_snr_db": (-60.0, -60.0)}
    drowned = Augmentation(max_speed_change=0.0, swap_share=0.0, n_masks=0, **noise)
    pair, window = pair_of(paired_set, 0), Window(RATE, FEATURES)
    one, other = twin_examples(pair, (), window=window, seed=(1,), augmentation=drowned)
    (elsewhere, _) = twin_examples(pair, (), window=window, seed=(2,), augmentation=drowned)
    assert np.abs(one.features - other.features).max() < 0.1
    assert np.abs(one.features - elsewhere.features).max() > 1.0
    assert (one.frames.max(), other.frames.min()) == (0, 1)


def test_twins_that_do_not_swap_are_the_real_and_the_fake_one_equally_loud(paired_set):
    still = Augmentation(max_speed_change=0.1, swap_share=0.0, n_masks=0)
    one, other = twin_examples(pair_of(paired_set, 0), (), window=Window(RATE, FEATURES), seed=(1,), augmentation=still)
    assert (one.label, other.label) == (LABELS.index(REAL), LABELS.index(FAKE))
    assert (one.frames.max(), other.frames.min()) == (0, 1)


def test_without_an_augmentation_or_with_other_lengths_there_are_no_twins(paired_set):
    assert batches(paired_set, augmentation=None).twins == ()
    shorter = tuple(replace(c, n_samples=4 * RATE) if c.label == FAKE else c for c in paired_set.clips)
    assert batches(replace(paired_set, clips=shorter)).twins == ()
