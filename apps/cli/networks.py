"""`python -m apps.cli.networks docs/networks.md`: put the table of the networks into a document, between two marks."""

from __future__ import annotations

import sys
from pathlib import Path

from audio.atomic import put_between
from audio.errors import ToolkitError
from model.features import FeatureConfig
from model.networks import ARCHITECTURES, build, config_type

BEGIN, END = "<!-- networks begin -->", "<!-- networks end -->"


def table() -> str:
    """Return what there is to say of every network, in Markdown; counts its numbers by building it."""
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    counts = {name: build(FeatureConfig(), config_type(name)()).count_params() for name in ARCHITECTURES}
    rows = [
        f"| `{name}` | {about.summary} | {counts[name]:,} | {about.paper} |" for name, about in ARCHITECTURES.items()
    ]
    return "\n".join(["| name | what it is | parameters | after |", "|---|---|---|---|", *rows])


def update(path: Path) -> None:
    """Put the table into a document; raises `ToolkitError` when its marks are not there."""
    put_between(path, table(), begin=BEGIN, end=END)


if __name__ == "__main__":
    try:
        update(Path(sys.argv[1]))
    except (ToolkitError, OSError, IndexError) as error:
        sys.exit(f"error: {error}")
