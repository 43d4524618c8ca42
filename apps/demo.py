"""`python -m apps.demo`: the main job from nothing to a located splice, by the commands that anyone can type.

Fetches genuine voices, builds a small set, trains on it and judges a test clip of a speaker that training never
heard, with its own small model and with the one that comes with the toolkit. Stopped at any point, it goes on from
there when started again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from audio.atomic import replacing
from audio.errors import ToolkitError
from audio.labels import HYBRID
from audio.manifest import Clip, read_manifest
from audio.segments import SAMPLE_RATE

SEED = 1
CLIPS = 1_800
EPOCHS = 40
ENGINES = "world,griffin-lim"
HELD_OUT = "lpc"
"""An engine that training never hears: what happens on it is reported beside the rest, whatever it is."""

SHAPES = ("--clip-s", "3", "6", "--span-s", "0.3", "2.5", "--max-spans", "3", "--no-channel")
"""Splices that are heard at once, and no telephone, room or noise: what a network can learn in seven minutes."""

DEV_SPEAKER, TEST_SPEAKER = "ivrvoice", "june"
"""Voices that training never hears; the other two, one of them in two languages, are for training."""

SET, RUN, OUT = Path("data/demo"), Path("runs/demo"), Path("outputs/demo")


def main() -> int:
    """Run the demo; return the exit status of the first command that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m apps.demo", description=__doc__)
    parser.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    workers = parser.parse_args().workers
    try:
        _command("-m", "synth", "build", *_build_arguments(workers))
        _command("train_cnnrnnlstm.py", *_training_arguments())
        clip = _test_clip()
        _command("script.py", str(clip), "--model", str(RUN), "--plot", "--out", str(OUT))
        _command("script.py", str(clip))
        _keep(RUN / "metrics.json", OUT / "metrics.json")
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; start it again to go on from here", file=sys.stderr)
        return 130
    print(f"\ntruth of {clip}: {_truth(clip)}\nfigures: {OUT / 'metrics.json'}\npicture: {OUT / clip.stem}.png")
    return 0


def _command(*arguments: str) -> None:
    """Show a command as one would type it, and run it."""
    print(f"\n$ python {shlex.join(arguments)}", flush=True)
    subprocess.run([sys.executable, *arguments], check=True)


def _build_arguments(workers: int) -> list[str]:
    what = ["--out", str(SET), "--clips", str(CLIPS), "--seed", str(SEED)]
    how = ["--engines", ENGINES, "--held-out", HELD_OUT, *SHAPES, "-j", str(workers)]
    return [*what, *how, "--dev-speakers", DEV_SPEAKER, "--test-speakers", TEST_SPEAKER]


def _training_arguments() -> list[str]:
    """Start the run, or go on with it where an earlier demo left it."""
    if (RUN / "settings.json").exists():
        return ["--resume", str(RUN)]
    return ["--data", str(SET), "--out", str(RUN), "--epochs", str(EPOCHS), "--seed", str(SEED)]


def _test_clip() -> Path:
    """The first test clip that is genuine speech with one fake span in it; chosen by its truth, before it is judged."""
    clips = read_manifest(SET / "manifest.jsonl")
    hybrids = [clip for clip in clips if clip.split == "test" and clip.label == HYBRID]
    return SET / next((clip.path for clip in hybrids if _has_one_span_inside(clip)), hybrids[0].path)


def _has_one_span_inside(clip: Clip) -> bool:
    """Whether at most half of the clip is fake, in one span of a second or more that touches neither end."""
    span = clip.segments[0]
    inside = span.onset > 0 and span.offset < clip.n_samples
    return len(clip.segments) == 1 and inside and SAMPLE_RATE <= span.duration <= clip.n_samples / 2


def _truth(path: Path) -> str:
    clip = next(c for c in read_manifest(SET / "manifest.jsonl") if SET / c.path == path)
    spans = ", ".join(f"{s.onset_s:.2f}-{s.offset_s:.2f} s" for s in clip.segments)
    return f"{clip.label}, fake {spans} ({clip.generator}), speaker {clip.speaker}"


def _keep(source: Path, target: Path) -> None:
    with replacing(target) as beside:
        shutil.copyfile(source, beside)
    figures = json.loads(target.read_text(encoding="utf-8"))
    shown = {key: figures[key] for key in ("accuracy", "macro_f1", "segment_eer_20ms", "clips")}
    print(f"\n{target}: {shown}")


if __name__ == "__main__":
    sys.exit(main())
