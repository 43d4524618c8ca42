"""`python -m bench.shards`: steps a second of the same network, fed from memory, from files and from shards.

    batches   the very batches, computed before and held in memory: nothing is left to do but to train
    samples   every clip's samples in memory; windows are cut, augmented and made features of as in training
    files     the same from a set of WAV files, as `train_cnnrnnlstm.py --data SET` does
    shards    the same from shards of that set, as `train_cnnrnnlstm.py --data SHARDS` does

The set is made here: syllables of noise, whose content costs what speech costs. All four train one network by the same
batches, a few steps at a time in turns, so that another program's work disturbs all alike; the first turn is not
counted. Prints medians and ratios in Markdown, and the processor time of a step, which other programs change less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import SAMPLE_RATE, Segment
from audio.sharding import write_shards
from model.training.examples import Augmentation, TrainingSet, read_set
from model.training.recordings import Recording, Spliced
from model.training.settings import TrainSettings

CLIP_S = (3.0, 9.0)
SHARD_BYTES = 16 * 2**20
"""Small, so that a set of some minutes has several shards."""

AUGMENTATIONS = {"default": Augmentation(), "masks": Augmentation(max_speed_change=0.0, mix_share=0.0)}


def main() -> int:
    """Make the set, train in turns, print."""
    parser = argparse.ArgumentParser("python -m bench.shards", description=__doc__)
    parser.add_argument("--clips", type=int, default=600, help="clips of the set (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=7, help="that are counted (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="windows a step (default: %(default)s)")
    parser.add_argument("--network", default="cnnrnnlstm", help="which (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the set and the training (default: %(default)s)")
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default="default", help="default: as training runs")
    options = parser.parse_args()
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        files, sharded = Path(folder, "files"), Path(folder, "shards")
        write_set(files, options.clips, options.seed)
        write_shards(files, sharded, shard_bytes=SHARD_BYTES)
        _print(_measured(files, sharded, options), options)
    return 0


def write_set(folder: Path, n_clips: int, seed: int) -> None:
    """Write clips of the three classes in turn, one in nine for dev."""
    clips = []
    for index in range(n_clips):
        rng = np.random.default_rng((seed, index))
        n = int(rng.uniform(*CLIP_S) * SAMPLE_RATE)
        label = LABELS[index % len(LABELS)]
        spans = {REAL: (), FAKE: ((0, n),), HYBRID: ((n // 3, n // 2),)}[label]
        swell = np.abs(np.sin(np.pi * 2.5 * np.arange(n) / SAMPLE_RATE + rng.uniform(0, 3)))
        path = f"{label}/{index:05d}.wav"
        write_wav(folder / path, 0.1 * swell * rng.standard_normal(n))
        split = "dev" if index % 9 == 0 else "train"
        clips.append(Clip(path, label, tuple(Segment(*span) for span in spans), n_samples=n, split=split))
    write_manifest(folder / "manifest.jsonl", clips)


@dataclass(frozen=True)
class _Held:
    """What `Spliced` wants to know of a recording."""

    samples: Any
    label: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class InMemory(TrainingSet):
    """A training set all of whose samples are in memory."""

    held: tuple[Recording, ...] = ()

    def split(self, name: str) -> TrainingSet:
        """Return the clips of one split, read."""
        found = super().split(name)
        held = tuple(Spliced(_Held(each.whole(), each.label, each.clip.segments)) for each in found)  # type: ignore
        return replace(self, clips=found.clips, held=held)

    def __getitem__(self, index: int) -> Recording:  # type: ignore[override]
        return self.held[index]


def _measured(files: Path, sharded: Path, options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Return wall and processor seconds of a step in each turn, by what feeds the network."""
    import tensorflow as tf

    from model.networks import config_type
    from model.training.fit import prepare

    settings = TrainSettings(
        data="",
        seed=options.seed,
        batch_size=options.batch_size,
        network=config_type(options.network)(),
        augmentation=AUGMENTATIONS[options.augmentation],
    )
    by_files = read_set(files, seed=options.seed)
    held = InMemory(by_files.manifest_path, by_files.clips, by_files.has_spans)
    sets = {"samples": held, "files": by_files, "shards": read_set(sharded, seed=options.seed)}
    readies = {name: prepare(settings, each) for name, each in sets.items()}
    model = readies["files"].model
    first = list(readies["samples"].stream(0, options.steps))
    stacked = tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(lambda *parts: tf.stack(parts), *first))
    feeds: dict[str, Callable[[], Any]] = {"batches": lambda: stacked}
    for name in sets:
        feeds[name] = lambda name=name: readies[name].stream(0, options.steps)  # type: ignore[misc]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in feeds}
    for turn in range(options.turns + 1):
        for name, feed in feeds.items():
            began, worked = time.perf_counter(), time.process_time()
            model.fit(feed(), verbose=0, shuffle=False)
            took, work = time.perf_counter() - began, time.process_time() - worked
            if turn:
                found[name].append((took / options.steps, work / options.steps))
    return found


def _print(found: dict[str, list[tuple[float, float]]], options: argparse.Namespace) -> None:
    rates = {name: [1 / took for took, _ in each] for name, each in found.items()}
    medians = {name: statistics.median(each) for name, each in rates.items()}
    told = f"{options.clips} clips, batches of {options.batch_size}, seed {options.seed}, {options.network}"
    print(f"{told}, augmentation: {options.augmentation}; {options.turns} turns of {options.steps} steps\n")
    heads = ("fed from", "steps a second, median (lowest to highest)", "of batches in memory", "of samples in memory")
    print(f"| {' | '.join(heads)} | processor seconds a step |")
    print("|---|---|---|---|---|")
    for name, rate in medians.items():
        spread = f"{rate:.2f} ({min(rates[name]):.2f} to {max(rates[name]):.2f})"
        work = statistics.median(work for _, work in found[name])
        print(f"| {name} | {spread} | {rate / medians['batches']:.2f} | {rate / medians['samples']:.2f} | {work:.2f} |")


if __name__ == "__main__":
    raise SystemExit(main())
