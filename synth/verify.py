"""Is a set what its manifest says? Every clip made again from its line, and compared bit for bit."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from audio import jobs
from audio.executors import Workers
from audio.manifest import Clip, read_manifest, resolve
from audio.reading import read
from synth.build import read_facts
from synth.channel import ChannelKit
from synth.making import Folders, remake
from synth.pcm import to_pcm
from synth.recipe import Recipe
from synth.takes import Library
from synth.voices import MANIFEST


def verify_set(folder: Path, folders: Folders, *, workers: Workers = 1) -> tuple[int, dict[str, str]]:
    """Make every clip of a set again.

    Parameters
    ----------
    folder
        The set, with its manifest and `build.json`.
    folders
        The recordings that it was built from.
    workers
        Number of processes, or another place to work.

    Returns
    -------
    number of clips; and for those that differ, or could not be made again, the reason by their paths.

    Raises
    ------
    ToolkitError
        When the folder holds no set that was built.
    """
    clips = read_manifest(folder / MANIFEST)
    recipe = Recipe.from_json(read_facts(folder).get("recipe", {}))
    process = partial(compare, root=folder, folders=folders, recipe=recipe)
    done = jobs.run(process, clips, key=lambda clip: clip.path, workers=workers, title="clips")
    found = [row for rows in done for row in rows]
    return len(clips), {row.get("path") or row["key"]: row["error"] for row in found if "error" in row}


@lru_cache(maxsize=1)
def _tools(folders: Folders, recipe: Recipe) -> tuple[Library, ChannelKit | None]:
    """Return library and channel kit; listing folders of noise and rooms once in each process is enough."""
    return folders.library(recipe), folders.kit(recipe)


def compare(clip: Clip, *, root: Path, folders: Folders, recipe: Recipe) -> list[jobs.Row]:
    """Make one clip again; return a row with its path, and `error` when it differs.

    Raises
    ------
    ToolkitError
        When it cannot be made.
    """
    pcm, segments = remake(clip, *_tools(folders, recipe))
    row: jobs.Row = {"path": clip.path}
    if segments != clip.segments:
        return [{**row, "error": f"expected the spans {clip.segments}, received {segments}"}]
    if not np.array_equal(pcm, to_pcm(read(resolve(root / MANIFEST, clip)))):
        return [{**row, "error": "its samples differ from what its line makes"}]
    return [row]
