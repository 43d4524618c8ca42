"""`python -m bench.exports`: every export of a model beside its ONNX network: how far off, how large, how fast.

The clips are the test split of a labelled set. Everything runs on one core, one thread, in this process; a window is
run three times by each network in turns and the quickest counts, so that another program's work disturbs both alike.
Prints the table of docs/exports.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from audio.errors import ToolkitError
from audio.manifest import Clip, read_set, resolve
from audio.reading import Samples, read
from model.bundle import Bundle, find_bundle, read_bundle
from model.training.exporting import export_bundle
from model.training.formats import FORMATS
from model.training.proof import Proof

HEADER = (
    "| export | bytes | ms per s of audio | the bundle's ONNX beside it | ratio | largest difference of a frame score"
    " | on average | of a clip's probability | verdicts changed |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> int:
    """Export, compare, print."""
    parser = argparse.ArgumentParser("python -m bench.exports", description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of a model (default: shipped, else newest run)")
    parser.add_argument("--manifest", type=Path, default=Path("data", "demo"), help="the set (default: %(default)s)")
    parser.add_argument("--split", default="test", help="of the set (default: %(default)s)")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        bundle = read_bundle(find_bundle(options.model))
        place, everything = read_set(options.manifest)
        clips = [clip for clip in everything if clip.split == options.split]
        _print_table(bundle, place, clips)
    except ToolkitError as error:
        parser.error(str(error))
    return 0


def _print_table(bundle: Bundle, place: Path, clips: list[Clip]) -> None:
    print(HEADER)
    for name, made in FORMATS.items():
        for int8 in (False, True) if made.is_runtime else (False,):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                recordings = _recordings(place, clips)
                proof, size_bytes = export_bundle(
                    bundle, Path(folder, "export"), name=name, int8=int8, recordings=recordings
                )
            print(_row(name + " int8" * int8, proof, size_bytes), flush=True)
    told = f"{proof.clips} clips, {proof.windows} windows, {proof.audio_s:.0f} s"
    print(f"\n{told}; {proof.not_compared} more hold too little speech")


def _recordings(place: Path, clips: list[Clip]) -> Iterator[Samples]:
    for clip in clips:
        yield read(resolve(place, clip))


def _row(name: str, proof: Proof, size_bytes: int) -> str:
    cells = (
        name,
        f"{size_bytes:,}",
        f"{proof.ms_per_s:.2f}",
        f"{proof.onnx_ms_per_s:.2f}",
        f"{proof.ms_per_s / proof.onnx_ms_per_s:.2f}",
        f"{proof.frame_difference:.1e}",
        f"{proof.mean_frame_difference:.1e}",
        f"{proof.probability_difference:.1e}",
        f"{proof.changed_verdicts} of {proof.clips}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
