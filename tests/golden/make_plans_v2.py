"""Made `plans_v2.jsonl`: manifest lines of a set built from babble, one for each thing that plans can hold.

    PYTHONPATH=.:tests/synth python tests/golden/make_plans_v2.py

Do not run it again over the frozen file: that file is what version 2 of the plans looked like.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from babbling import babble

from audio.manifest import write_manifest
from audio.reading import write_wav
from synth.build import build_set
from synth.making import Folders
from synth.recipe import Recipe


def main() -> None:
    """Build sixty clips and keep the first that shows something new."""
    seen: set[str] = set()
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for s, speaker in enumerate(("ada", "ben", "cleo")):
            for k in range(6):
                write_wav(root / "voices" / speaker / f"{k}.wav", babble(10 * s + k, seconds=3.0 + 0.5 * k))
        recipe = Recipe(60, 3, engines=("lpc",), held_out=())
        for clip in build_set(recipe, Folders(root / "voices", cache=root / "cache"), out=root / "set"):
            splice, channel = clip.splice or {}, clip.channel or {}
            facts = {*splice["operations"], *(join["kind"] for join in splice["joins"]), f"tilt {splice['tilt']}"}
            facts |= {name for name, value in channel.items() if value}
            facts |= {source["treatment"]["kind"] for source in clip.sources if "treatment" in source}
            if facts - seen:
                seen |= facts
                kept.append(clip)
    write_manifest(Path(__file__).with_name("plans_v2.jsonl"), kept)
    print(len(kept), sorted(seen))


if __name__ == "__main__":
    main()
