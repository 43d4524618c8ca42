"""From a corpus of a few seconds to a published bundle: nothing of test is built, and a stop costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from audio.manifest import Clip, read_manifest, write_manifest
from audio.reading import write_wav
from model.bundle import read_bundle
from model.judging.abstain import CAREFUL

ROOT = Path(__file__).parents[2]

POOL = """
clips = 40
seed = 2
cache = "cache"
engines = ["lpc"]
held_out = []
clip_s = [1.5, 2.0]
channel = false
pair_share = 0.5
"""

TRAINING = """
epochs = 2
steps_per_epoch = 3
batch_size = 6
window_s = 1.0
early_loss_weight = 0.5
[network]
recurrent_units = 8
"""


def spoken(seed: int, *, buzz: float = 0.0) -> np.ndarray:
    """Return three seconds of syllables: pulses through a resonance; `buzz` is what the made-up generator adds."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(48_000) / 16_000
    phase = np.cumsum((110 + 20 * (seed % 4)) * (1 + 0.1 * np.sin(4 * time_s + seed))) / 16_000
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(time_s.size)
    voice = scipy.signal.lfilter([1.0], [1.0, -1.94 * np.cos(2 * np.pi * 600 / 16_000), 0.9409], pulses)
    loud = (voice + buzz * rng.standard_normal(time_s.size)) * np.abs(np.sin(np.pi * time_s / 0.25))
    return (0.3 * loud / np.abs(loud).max()).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with a speaker and a generator for each split, and prompts of one more speaker."""
    folder = tmp_path_factory.mktemp("pretraining")
    rows = ["path,label,generator,speaker,split,ship,licence,origin,source_clip"]
    for s, split in enumerate(("train", "dev", "test")):
        for k in range(4):
            write_wav(folder / f"corpus/{split}/{k}.wav", spoken(10 * s + k))
            write_wav(folder / f"corpus/{split}/{k}-copy.wav", spoken(10 * s + k, buzz=0.5))
            rows.append(f"{split}/{k}.wav,real,,{split}er,{split},yes,CC0,home,")
            rows.append(f"{split}/{k}-copy.wav,fake,buzz-{split},{split}er,{split},yes,CC0,home,{split}/{k}.wav")
    (folder / "corpus" / "manifest.csv").write_text("\n".join(rows) + "\n")
    for k in range(3):
        write_wav(folder / f"prompts/june/{k}.wav", spoken(50 + k))
    prompts = [Clip(f"june/{k}.wav", "real", n_samples=48_000, speaker="june") for k in range(3)]
    write_manifest(folder / "prompts" / "manifest.jsonl", prompts)
    (folder / "prompts" / "ATTRIBUTION.txt").write_text("nobody")
    (folder / "pool.toml").write_text(POOL)
    (folder / "training.toml").write_text(TRAINING)
    return folder


def pretrain(place: Path, *others: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--corpus", "corpus", "--prompts", "prompts", "--work", "work", "--out", "shipped", "-j", "1"]
    recipes = ["--pool", "pool.toml", "--training", "training.toml"]
    command = [sys.executable, "-m", "apps.pretraining", *arguments, *recipes, *others]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def done(place: Path) -> subprocess.CompletedProcess[str]:
    return pretrain(place)


def test_one_command_leaves_a_bundle_that_says_what_it_learned_from(place, done):
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(place / "shipped")
    assert bundle.licence == "CC BY-SA 4.0"
    origins = {(row["name"], row["label"]): row["clips"] for row in bundle.training["origins"]}
    assert origins == {("home", "real"): 4, ("home", "fake"): 4, ("Debian asterisk-core-sounds", "real"): 3}
    assert bundle.training["settings"]["network"]["recurrent_units"] == 8
    assert bundle.limits == CAREFUL
    told = (place / "shipped" / "ATTRIBUTION.txt").read_text()
    assert "CC BY-SA 4.0" in told
    assert "- home: 4 fake clips, 0.2 minutes, CC0" in told
    assert str(place) not in (place / "shipped" / "bundle.json").read_text(), "no path of this machine"


def test_nothing_of_test_is_built_or_trained_on(place, done):
    pool = read_manifest(place / "work" / "pool" / "manifest.jsonl")
    assert {clip.split for clip in pool} == {"train", "dev"}
    assert {clip.speaker for clip in pool if clip.split == "train"} <= {"trainer", "june"}
    assert "buzz-test" not in {clip.generator for clip in pool}
    assert any(clip.source_clip for clip in pool), "pairs"


def test_again_is_the_same_and_quick(place, done):
    before = json.loads((place / "shipped" / "bundle.json").read_text())
    log = (place / "work" / "run" / "log.csv").read_text()
    again = pretrain(place)
    assert again.returncode == 0, again.stderr
    after = json.loads((place / "shipped" / "bundle.json").read_text())
    for facts in (before, after):
        facts.pop("hashes")  # of files that name their nodes anew in each export
        facts["training"].pop("onnx_difference")
    assert after == before
    assert (place / "work" / "run" / "log.csv").read_text() == log


def test_mistakes_are_one_line(place):
    missing = pretrain(place, "--corpus", "nowhere")
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
    assert "nowhere" in missing.stderr
    wrong = pretrain(place, "--ship", "never", "--work", "other")
    assert wrong.returncode == 1
    assert "expected training rows with ship = never" in wrong.stderr
