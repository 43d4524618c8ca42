"""Examples for training: a pure function from (set, seed, step) to a batch, so that a run can resume anywhere.

Nothing here remembers anything: the order of the clips derives from (seed, epoch) and each crop and mask from (seed,
epoch, clip), whatever came before and whoever computes it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr
from scipy.signal import lfilter

from audio import manifest, shards
from audio.cleaning import speech_frames
from audio.errors import ManifestError, ToolkitError
from audio.labels import HYBRID, LABELS, REAL, label_index, label_of
from audio.segments import SAMPLE_RATE
from audio.sharding import layout
from model.features import FRAME_HOP_SAMPLES, FeatureConfig, log_mel
from model.training.order import order_of, window_at, windows_of
from model.training.recordings import Filed, Recording, Spliced, Splices
from model.training.splits import OWN_SPLITS, Division, divide

if TYPE_CHECKING:
    import tensorflow as tf

Float = npt.NDArray[np.float32]

CUT, SWAP = 0, 1
"""Streams of randomness of a pair of twins."""

MAX_DRAWS = 20
"""Partners looked at for a genuine one; a set with hardly any goes without."""


@dataclass(frozen=True)
class TrainingSet(Sequence[Recording]):
    """Clips of one set, with where they lie and whether their spans are known; a sequence of their recordings."""

    manifest_path: Path
    clips: tuple[manifest.Clip, ...]
    has_spans: bool
    """False for plain `real/ fake/ hybrid/` folders: classes are known, spans of hybrids are not."""

    def split(self, name: str) -> TrainingSet:
        """Return the clips of one split."""
        return TrainingSet(self.manifest_path, tuple(c for c in self.clips if c.split == name), self.has_spans)

    def path(self, clip: manifest.Clip) -> Path:
        """Return where a clip's recording lies."""
        return manifest.resolve(self.manifest_path, clip)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Recording:  # type: ignore[override]  # no slices: nobody needs them
        return Filed(self, self.clips[index])


def read_set(
    folder: Path, *, seed: int, needed: tuple[str, ...] = ("train", "dev"), division: Division = OWN_SPLITS
) -> TrainingSet:
    """Read a set: its `manifest.jsonl`, or plain `real/`, `fake/`, `hybrid/` split by a draw; or shards of either.

    A plain folder says nothing about speakers, so its splits (70 % train, 15 % dev, 15 % test of each class) may
    share voices and its test figures are not figures on unheard voices.

    Parameters
    ----------
    folder
        The set.
    seed
        What the splits of a plain folder are drawn from.
    needed
        Splits that must not be empty.
    division
        Other splits than the set's own.

    Raises
    ------
    ManifestError
        When the set is missing or broken, or has no clip in a split that is needed.
    UsageError
        When it cannot be divided so.
    """
    listing = folder / "manifest.jsonl"
    sharded = shards.opened(folder)
    if sharded is not None and not sharded.listed:
        drawn = _drawn_splits(manifest.read_manifest(listing), seed)
        found = TrainingSet(listing, divide(drawn, division, seed=seed), has_spans=False)
    elif listing.is_file():
        clips = divide(manifest.read_manifest(listing), division, seed=seed)
        found = TrainingSet(listing, clips, has_spans=True)
    else:
        drawn = _drawn_splits(manifest.scan_folder(folder), seed)
        found = TrainingSet(folder, divide(drawn, division, seed=seed), has_spans=False)
    for name in needed:
        if not found.split(name).clips:
            raise ManifestError(f"{folder}: no clips in the split {name!r}; training needs {' and '.join(needed)}")
    return found


def _drawn_splits(clips: Sequence[manifest.Clip], seed: int) -> tuple[manifest.Clip, ...]:
    splits: dict[str, str] = {}
    for label in LABELS:
        paths = sorted(clip.path for clip in clips if clip.label == label)
        order = np.random.default_rng((seed, label_index(label))).permutation(len(paths))
        for rank, index in enumerate(order):
            share = (rank + 0.5) / len(paths)
            splits[paths[index]] = "train" if share < 0.70 else "dev" if share < 0.85 else "test"
    return tuple(replace(clip, split=splits[clip.path]) for clip in clips)


@dataclass(frozen=True)
class Window:
    """What is cut from a recording, and what the network sees of it."""

    n_samples: int
    """Length, a whole number of frames of `FRAME_HOP_SAMPLES`."""
    features: FeatureConfig | None
    """None: the samples as they are, for what makes features of its own."""


@dataclass(frozen=True)
class Example:
    """One window as the network learns from it."""

    features: Float
    """(time, n_bands), or the samples (n_samples,) of a window that has no features."""
    frames: Float
    """(frames, 1), 1 where any part of the frame is fake."""
    frame_weights: Float
    """(frames,), 0 where nothing is known of the frame."""
    label: int
    """Index into `LABELS`, of the window and not of the clip it was cut from."""


@dataclass(frozen=True)
class Augmentation:
    """What makes a clip new each time it is seen.

    Speed: the window is played faster or slower by resampling, which also moves pitch and formants as if another
    person spoke (Ko et al., Interspeech 2015); up to 10 % real speech stays real and fake stays fake.
    Segment mixing: a stretch of another clip, of any class, replaces a stretch of the window, and the truth with it.
    Swapping: where the set has a genuine clip and its fake twin, stretches change places between the two.
    Noise: a steady, coloured noise is added to the whole window, the same one to both twins; the truth stays.
    Talkers: somebody else speaks behind the whole window, genuine and softer; the truth stays that of who is in front.
    SpecAugment (Park et al., Interspeech 2019): stretches of bands and of time are set to the mean.
    """

    max_speed_change: float = 0.1
    """Largest change, uniform on both sides of 1; 0 leaves the speed as it is."""
    mix_share: float = 0.3
    """Share of windows that are mixed; 0 where spans are unknown, because so would be what came in."""
    mix_s: tuple[float, float] = (0.3, 2.0)
    """Shortest and longest stretch that is mixed in, log-uniform, at most half the window."""
    mix_fades_samples: tuple[int, ...] = (0, 80, 320)
    """Lengths of the linear fades at its ends, equally likely: hard, 5 ms and 20 ms."""
    swap_share: float = 0.6
    """Share of twins that swap stretches: what the one gets, the other loses, so that their windows say the same in
    the same voice through the same channel, and differ in nothing but in what is fake."""
    swap_s: tuple[float, float] = (0.1, 3.0)
    """Shortest and longest stretch that is swapped, log-uniform, at most the window."""
    max_swaps: int = 4
    noise_share: float = 0.0
    """Share of windows, or of pairs of them, that get a noise floor: recordings from a studio have none, and most
    synthesisers learned from such, so that silence itself would sound fake."""
    noise_snr_db: tuple[float, float] = (10.0, 50.0)
    """Quietest and loudest speech over that noise, uniform."""
    noise_poles: tuple[float, float] = (-0.3, 0.98)
    """Range of the pole that colours it: from a little bright to nearly brown."""
    talker_share: float = 0.0
    """Share of windows, or of pairs of them, with somebody behind, whatever is in front: a recording that is heard a
    thousand times never sounds the same, and cannot be known by heart."""
    talker_snr_db: tuple[float, float] = (6.0, 30.0)
    """Quietest and loudest voice in front over the one behind, uniform."""
    n_masks: int = 2
    """Masks of each kind."""
    max_bands: int = 12
    max_time_s: float = 0.2


Cut = tuple[Float, npt.NDArray[np.bool_]]
"""Samples of a window and which of them are fake, both (window_samples,)."""


def example(
    recording: Recording,
    partners: Sequence[Recording],
    *,
    window: Window,
    rng: np.random.Generator | None,
    augmentation: Augmentation | None = None,
) -> Example:
    """Cut one window from a recording: at random, or from the middle and as it is when `rng` is None.

    A recording shorter than the window is repeated to fill it, as AASIST does (Jung et al., ICASSP 2022); the joins
    that this makes are marked for what they join and prove nothing.

    Parameters
    ----------
    recording
        What to cut from.
    partners
        What may be mixed in or heard behind; not used without an augmentation.

    Raises
    ------
    AudioError
        When a recording cannot be read.
    ManifestError
        When it is empty.
    """
    if augmentation is None or rng is None:
        cut = _cut(recording, window.n_samples, rng)
        seen = _seen(cut[0], window)
    else:
        cut = _varied(recording, window.n_samples, augmentation, rng)
        if recording.knows_spans:
            cut = _mixed(partners, cut, augmentation, rng)
        behind = _noise(cut[0], augmentation, rng) + _talker(cut[0], partners, augmentation, rng)
        cut = cut[0] + behind, cut[1]
        seen = _seen(cut[0], window, augmentation, rng)
    is_fake: npt.NDArray[np.bool_] = np.logical_or.reduce(cut[1].reshape(-1, FRAME_HOP_SAMPLES), axis=1)
    known = recording.knows_spans or recording.label != HYBRID
    label = _window_label(cut[0], is_fake) if recording.knows_spans else recording.label
    return Example(
        features=seen,
        frames=is_fake.astype(np.float32)[:, None],
        frame_weights=np.full(len(is_fake), float(known), dtype=np.float32),
        label=label_index(label),
    )


def twin_examples(
    twins: tuple[Recording, Recording],
    partners: Sequence[Recording],
    *,
    window: Window,
    seed: Sequence[int],
    augmentation: Augmentation,
) -> tuple[Example, Example]:
    """Cut the same window from a genuine recording and from its twin, and swap stretches of the two.

    Parameters
    ----------
    twins
        A genuine recording and a fake one, of the same length, that say the same at the same time.
    partners
        What may be heard behind both.
    window
        What to cut.
    seed
        What both are drawn from.
    augmentation
        How.
    """
    # The same draws for both, so that they are cut and sped up alike.
    real_cut, fake_cut = (
        _varied(each, window.n_samples, augmentation, np.random.default_rng((*seed, CUT))) for each in twins
    )
    fake_cut = _as_loud(fake_cut[0], like=real_cut[0]), fake_cut[1]  # a step in level must not tell which is which
    rng = np.random.default_rng((*seed, SWAP))
    weight = _swap_weight(window.n_samples, augmentation, rng)
    swapped = (_blended(real_cut, fake_cut, weight), _blended(fake_cut, real_cut, weight))
    behind = _noise(real_cut[0], augmentation, rng) + _talker(real_cut[0], partners, augmentation, rng)
    made = []
    for samples, truth in swapped:
        seen = _seen(samples + behind, window, augmentation, rng)
        is_fake: npt.NDArray[np.bool_] = np.logical_or.reduce(truth.reshape(-1, FRAME_HOP_SAMPLES), axis=1)
        made.append(
            Example(
                features=seen,
                frames=is_fake.astype(np.float32)[:, None],
                frame_weights=np.ones(len(is_fake), dtype=np.float32),
                label=label_index(_window_label(samples, is_fake)),
            )
        )
    return made[0], made[1]


def _swap_weight(n_samples: int, augmentation: Augmentation, rng: np.random.Generator) -> Float:
    """How much of the twin is heard instead, float32 (n_samples,): 0 throughout where nothing is swapped."""
    weight = np.zeros(n_samples, dtype=np.float32)
    if rng.random() >= augmentation.swap_share:
        return weight
    low, high = (min(round(length_s * SAMPLE_RATE), n_samples) for length_s in augmentation.swap_s)
    for _ in range(min(int(rng.geometric(0.5)), augmentation.max_swaps)):
        length = int(np.exp(rng.uniform(*np.log([low, high]))))
        onset = int(rng.integers(0, n_samples - length + 1))
        fades = _trapezoid(length, int(rng.choice(augmentation.mix_fades_samples)))
        weight[onset : onset + length] = np.maximum(weight[onset : onset + length], fades)
    return weight


def _blended(cut: Cut, other: Cut, weight: Float) -> Cut:
    """Replace one window by another of the same length as far as `weight` says, and the truth with it."""
    (samples, truth), (new_samples, new_truth) = cut, other
    # Where both sound, either being fake makes the sum fake.
    return samples * (1 - weight) + new_samples * weight, (truth & (weight < 1)) | (new_truth & (weight > 0))


def _cut(recording: Recording, window_samples: int, rng: np.random.Generator | None) -> Cut:
    n_samples = recording.n_samples
    if n_samples >= window_samples:
        onset = _onset(n_samples, window_samples, rng)
        samples = recording.span(onset, onset + window_samples)
        return samples, recording.truth(n_samples)[onset : onset + window_samples]
    whole = recording.whole()
    copies = -(-window_samples // len(whole))
    onset = _onset(copies * len(whole), window_samples, rng)
    tiled, truth = np.tile(whole, copies), np.tile(recording.truth(len(whole)), copies)
    return tiled[onset : onset + window_samples], truth[onset : onset + window_samples]


def _varied(recording: Recording, window_samples: int, augmentation: Augmentation, rng: np.random.Generator) -> Cut:
    """A window at another speed: more or less of the recording, resampled to the window's length."""
    if augmentation.max_speed_change == 0:
        return _cut(recording, window_samples, rng)
    speed = 1 + float(rng.uniform(-augmentation.max_speed_change, augmentation.max_speed_change))
    samples, truth = _cut(recording, int(window_samples * speed) + 2, rng)
    played = soxr.resample(samples, speed, 1.0, quality="MQ")[:window_samples]
    heard_at = (np.arange(len(played)) * speed).astype(np.int64)
    return np.asarray(played, dtype=np.float32), truth[heard_at]


def _onset(n_samples: int, window_samples: int, rng: np.random.Generator | None) -> int:
    spare = n_samples - window_samples
    return spare // 2 if rng is None else int(rng.integers(0, spare + 1))


def _mixed(partners: Sequence[Recording], cut: Cut, augmentation: Augmentation, rng: np.random.Generator) -> Cut:
    """Replace a stretch of the window by the same stretch of a partner's window, as loud as what it joins."""
    if rng.random() >= augmentation.mix_share:
        return cut
    (samples, truth), n_samples = cut, len(cut[0])
    other = partners[int(rng.integers(len(partners)))]
    new_samples, new_truth = _varied(other, n_samples, augmentation, rng)
    longest = min(augmentation.mix_s[1] * SAMPLE_RATE, n_samples / 2)
    length = int(np.exp(rng.uniform(*np.log([min(augmentation.mix_s[0] * SAMPLE_RATE, longest), longest]))))
    onset = int(rng.integers(0, n_samples - length + 1))
    weight = np.zeros(n_samples, dtype=np.float32)
    weight[onset : onset + length] = _trapezoid(length, int(rng.choice(augmentation.mix_fades_samples)))
    return _blended((samples, truth), (_as_loud(new_samples, like=samples), new_truth), weight)


def _noise(samples: Float, augmentation: Augmentation, rng: np.random.Generator) -> Float | np.float32:
    """Draw a noise for a window, float32 (n_samples,), or 0 for none."""
    if not augmentation.noise_share or rng.random() >= augmentation.noise_share:
        return np.float32(0.0)
    pole = rng.uniform(*augmentation.noise_poles)
    coloured = lfilter([1.0], [1.0, -pole], rng.standard_normal(len(samples), dtype=np.float32)).astype(np.float32)
    return _softer(coloured, samples, augmentation.noise_snr_db, rng)


def _talker(
    samples: Float, partners: Sequence[Recording], augmentation: Augmentation, rng: np.random.Generator
) -> Float | np.float32:
    """Draw a genuine voice to be heard behind a window, float32 (n_samples,), or 0 for none."""
    if not augmentation.talker_share or rng.random() >= augmentation.talker_share:
        return np.float32(0.0)
    for _ in range(MAX_DRAWS):
        other = partners[int(rng.integers(len(partners)))]
        if other.label == REAL:
            voice, _ = _varied(other, len(samples), augmentation, rng)
            return _softer(voice, samples, augmentation.talker_snr_db, rng)
    return np.float32(0.0)


def _softer(behind: Float, front: Float, snr_db: tuple[float, float], rng: np.random.Generator) -> Float:
    """Bring what is behind to a level that is drawn, below what is in front."""
    return _as_loud(behind, like=front) * np.float32(10.0 ** (-rng.uniform(*snr_db) / 20.0))


def _as_loud(samples: Float, *, like: Float) -> Float:
    """Bring a window to the RMS of another."""
    gain = np.sqrt((np.mean(like**2) + 1e-9) / (np.mean(samples**2) + 1e-9))
    return samples * np.float32(gain)


def _trapezoid(length: int, fade_samples: int) -> Float:
    """A weight of 1 with linear ends that never reach 0, float32 (length,)."""
    steps = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1))
    return np.minimum(1.0, steps / (fade_samples + 1)).astype(np.float32)


def _window_label(samples: Float, is_fake: npt.NDArray[np.bool_]) -> str:
    """The label of the window itself: a crop of a hybrid may well be real or fake.

    Only speech counts, unless there is none.
    """
    speech = speech_frames(samples, hop_samples=FRAME_HOP_SAMPLES)
    counted = is_fake[speech] if speech.any() else is_fake
    return label_of(int(counted.sum()), len(counted))


def _seen(
    samples: Float, window: Window, augmentation: Augmentation | None = None, rng: np.random.Generator | None = None
) -> Float:
    """What is learned from: the spectrogram, masked where there is an augmentation, or the samples themselves."""
    if window.features is None:
        return np.asarray(samples, dtype=np.float32)
    spectrogram = log_mel(samples, window.features)
    if augmentation is not None and rng is not None:
        _mask(spectrogram, augmentation, window.features, rng)
    return spectrogram


def _mask(spectrogram: Float, augmentation: Augmentation, features: FeatureConfig, rng: np.random.Generator) -> None:
    """Mask in place; 0 is the mean of a normalised window."""
    max_frames = round(augmentation.max_time_s * features.sample_rate / features.hop_samples)
    for _ in range(augmentation.n_masks):
        width = int(rng.integers(0, min(augmentation.max_bands, features.n_mels) + 1))
        first = int(rng.integers(0, features.n_mels - width + 1))
        spectrogram.reshape(len(spectrogram), -1, features.n_mels)[:, :, first : first + width] = 0.0
        length = int(rng.integers(0, min(max_frames, len(spectrogram)) + 1))
        start = int(rng.integers(0, len(spectrogram) - length + 1))
        spectrogram[start : start + length] = 0.0


class Share(NamedTuple):
    """Which parts of each batch are made here: `here` of `of`, from `first` on."""

    first: int = 0
    here: int = 1
    of: int = 1


WHOLE = Share()


class _Kind(NamedTuple):
    """Pairs of twins, or the other clips."""

    units: tuple[tuple[int, ...], ...]
    each: int
    """How many are in a batch."""
    window: int | None


@dataclass(frozen=True)
class Batches:
    """Every batch of a run, by its number: batch `step` belongs to pass `step // steps_per_pass`.

    They are drawn from the clips of a training set, or made of `splices` where these are given.
    """

    training_set: TrainingSet
    window: Window
    batch_size: int
    seed: int
    augmentation: Augmentation | None = Augmentation()
    splices: Splices | None = None
    shuffle_window: int | None = None
    """How many clips are shuffled together and may be mixed with each other (`model.training.order`); None: all."""

    @cached_property
    def twins(self) -> tuple[tuple[int, int], ...]:
        """Clips that come in pairs, genuine and fake: the manifest says so, and they are equally long."""
        if self.splices is not None or not self.training_set.has_spans or self.augmentation is None:
            return ()
        clips = self.training_set.clips
        places = {clip.path: i for i, clip in enumerate(clips) if clip.label == REAL}
        pairs = ((places[clip.source_clip], i) for i, clip in enumerate(clips) if clip.source_clip in places)
        paired = ((i, j) for i, j in pairs if clips[i].n_samples == clips[j].n_samples > 0)
        return tuple(paired if self.shuffle_window is None else sorted(paired, key=lambda pair: self._places[pair[0]]))

    @cached_property
    def _places(self) -> dict[int, int]:
        """Where each clip would lie in shards."""
        return {index: place for place, index in enumerate(layout(self.training_set.clips))}

    @property
    def swap_share(self) -> float:
        """Share of the twins that swap stretches."""
        return 0.0 if self.augmentation is None else self.augmentation.swap_share

    @cached_property
    def singles(self) -> tuple[int, ...]:
        """The other clips."""
        paired = {i for pair in self.twins for i in pair}
        found = (i for i in range(len(self.training_set.clips)) if i not in paired)
        return tuple(found if self.shuffle_window is None else sorted(found, key=self._places.__getitem__))

    @property
    def pairs_per_batch(self) -> int:
        """As many as keep the shares of the set."""
        return round(self.batch_size * len(self.twins) / max(1, len(self.training_set.clips)))

    @property
    def steps_per_pass(self) -> int:
        """Whole batches in the set; a set smaller than a batch is one batch."""
        if self.splices is not None:
            return self.splices.steps_per_epoch
        n_pairs = self.pairs_per_batch
        n_singles = self.batch_size - 2 * n_pairs
        counts = [len(self.twins) // n_pairs] if n_pairs else []
        counts += [len(self.singles) // n_singles] if n_singles else []
        return max(1, min(counts))

    def units(self, step: int) -> list[tuple[int, ...]]:
        """Which clips batch `step` holds, twins together: a pass visits no clip twice, in an order of its own."""
        number, position = divmod(step, self.steps_per_pass)
        found: list[tuple[int, ...]] = []
        for kind in self._kinds:
            order = order_of(self.seed, number, len(kind.units), window=kind.window)
            found += [kind.units[i] for i in order[position * kind.each : (position + 1) * kind.each]]
        return found

    @cached_property
    def _kinds(self) -> tuple[_Kind, ...]:
        """What a batch is put together from."""
        n_pairs, window = self.pairs_per_batch, self.shuffle_window
        return (
            _Kind(self.twins, n_pairs, None if window is None else max(1, window // 2)),
            _Kind(tuple((i,) for i in self.singles), self.batch_size - 2 * n_pairs, window),
        )

    def windows(self, step: int) -> tuple[int, ...]:
        """In which windows of its pass batch `step` begins, of pairs and of the other clips."""
        number, position = divmod(step, self.steps_per_pass)
        return tuple(
            window_at(self.seed, number, len(kind.units), window=kind.window, place=position * kind.each)
            for kind in self._kinds
        )

    def nearby(self, number: int, windows: Sequence[int]) -> TrainingSet:
        """Return the clips of windows of pass `number`, of none where a kind has no such window."""
        found: list[int] = []
        for kind, at in zip(self._kinds, windows, strict=True):
            parts = windows_of(self.seed, number, len(kind.units), window=kind.window)
            if kind.each and at < len(parts):
                found += [i for place in parts[at] for i in kind.units[place]]
        return replace(self.training_set, clips=tuple(self.training_set.clips[i] for i in found))

    def read_ahead(self, step: int, *, at_once: bool = False) -> None:
        """Where a window begins, let the system fetch the next one, of a sharded set; `at_once`: this one as well."""
        if self.shuffle_window is None or self.splices is not None:
            return
        if (sharded := shards.opened(self.training_set.manifest_path.parent)) is None:
            return
        turn, position = divmod(step, self.steps_per_pass)
        windows, at_once = self.windows(step), at_once or position == 0
        if at_once:
            sharded.expect(clip.path for clip in self.nearby(turn, windows).clips)
        if at_once or windows != self.windows(step - 1):
            sharded.expect(clip.path for clip in self.nearby(turn, [at + 1 for at in windows]).clips)

    @property
    def examples_per_batch(self) -> int:
        """Windows of a batch: `batch_size`, or fewer where the set has fewer."""
        return self.batch_size if self.splices is not None else sum(map(len, self.units(0)))

    def batch(self, step: int, part: int = 0, *, of: int = 1) -> tuple[Float, Float, Float, Float]:
        """Compute batch `step`, or one of equal parts of it, end to end the whole.

        Returns
        -------
        features (batch, time, n_bands), frames (batch, frames, 1), frame weights (batch, frames), classes one-hot
        (batch, 3); all float32
        """
        if self.splices is not None:
            spliced = [Spliced(each) for each in self.splices.batch(step)]
            each = len(spliced) // of
            some = range(part * each, (part + 1) * each)
            return _stack([self._single(spliced[i], spliced, (step, i)) for i in some])
        turn, partners = step // self.steps_per_pass, self.training_set
        if self.shuffle_window is not None:
            partners = self.nearby(turn, self.windows(step))
        units = self.units(step)
        each = sum(map(len, units)) // of
        first, last = part * each, (part + 1) * each
        found: list[Example] = []
        place = 0
        for unit in units:
            if place < last and place + len(unit) > first:  # twins may stand on both sides of a cut
                found += self._examples(unit, partners, turn)[max(0, first - place) : last - place]
            place += len(unit)
        return _stack(found)

    def _examples(self, unit: tuple[int, ...], partners: TrainingSet, turn: int) -> Sequence[Example]:
        one = self.training_set[unit[0]]
        if len(unit) == 1:
            return [self._single(one, partners, (turn, unit[0]))]
        assert self.augmentation is not None
        twins, seed = (one, self.training_set[unit[1]]), (self.seed, turn, unit[0])
        return twin_examples(twins, partners, window=self.window, seed=seed, augmentation=self.augmentation)

    def _single(self, recording: Recording, partners: Sequence[Recording], seed: tuple[int, int]) -> Example:
        rng = np.random.default_rng((self.seed, *seed))
        return example(recording, partners, window=self.window, rng=rng, augmentation=self.augmentation)


def fixed_windows(training_set: TrainingSet, window: Window) -> tuple[Float, ...]:
    """Stack the middle window of every clip: what a split is watched with while training. Shapes as in `Batches`."""
    return _stack([example(recording, (), window=window, rng=None) for recording in training_set])


def _stack(examples: Sequence[Example]) -> tuple[Float, Float, Float, Float]:
    return (
        np.stack([e.features for e in examples]),
        np.stack([e.frames for e in examples]),
        np.stack([e.frame_weights for e in examples]),
        np.eye(len(LABELS), dtype=np.float32)[[e.label for e in examples]],
    )


def boundaries(frames: Float) -> Float:
    """Mark the frames on both sides of a change between genuine and fake, and one more on either side.

    Parameters
    ----------
    frames
        float32 (batch, frames, 1), 1 where fake.

    Returns
    -------
    float32 (batch, frames, 1), 1 near a change.
    """
    changes = frames[:, 1:] != frames[:, :-1]
    marked = np.zeros(frames.shape, dtype=bool)
    n = frames.shape[1]
    for shift in range(-1, 3):  # a change between frames k and k + 1 marks k - 1 to k + 2
        first, stop = max(0, shift), min(n, n - 1 + shift)
        marked[:, first:stop] |= changes[:, first - shift : stop - shift]
    return marked.astype(np.float32)


def _with_boundaries(batch: tuple[Float, Float, Float, Float]) -> tuple[Float, ...]:
    return (*batch, boundaries(batch[1]))


def stream(
    batches: Batches,
    *,
    first_step: int,
    n_steps: int,
    helpers: Collection[str] = (),
    share: Share = WHOLE,
    faults: list[ToolkitError] | None = None,
) -> tf.data.Dataset:
    """Wrap batches `first_step` to `n_steps` as a `tf.data` pipeline that works one batch ahead of the network.

    Parameters
    ----------
    batches
        All of them.
    first_step, n_steps
        Which.
    helpers
        Heads that only training has.
    share
        Which parts of each; they come one after the other.
    faults
        Where an error is put that a recording made: what TensorFlow raises instead holds its traceback as text.

    Yields
    ------
    (features, {"frames", "clip_logits"}, {"frames", "clip_logits"}): inputs, targets and sample weights; both also for
    each of the `helpers` (`model.networks.parts.HELPERS`)
    """
    import tensorflow as tf

    assert batches.window.features is not None
    n_bands = batches.window.features.n_bands

    def made(number: int) -> tuple[Float, ...]:
        step, part = divmod(number, share.here)
        try:
            batches.read_ahead(step, at_once=step == first_step)
            return _with_boundaries(batches.batch(step, share.first + part, of=share.of))
        except ToolkitError as error:
            if faults is not None:
                faults.append(error)
            raise

    def load(step: Any) -> Any:
        features, frames, weights, classes, changes = tf.numpy_function(
            lambda number: made(int(number)), [step], [tf.float32] * 5, stateful=False
        )
        features.set_shape((None, None, n_bands))
        frames.set_shape((None, None, 1))
        weights.set_shape((None, None))
        classes.set_shape((None, len(LABELS)))
        changes.set_shape((None, None, 1))
        known = {"frames": frames, "early": frames, "boundaries": changes}
        heads = ("frames", *helpers)
        targets = {**{name: known[name] for name in heads}, "clip_logits": classes}
        heard = {**dict.fromkeys(heads, weights), "clip_logits": tf.ones(tf.shape(classes)[:1])}
        return features, targets, heard

    steps = tf.data.Dataset.range(first_step * share.here, n_steps * share.here)
    return steps.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)
