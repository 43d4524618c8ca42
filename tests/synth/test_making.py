"""Plans in manifests are promises: what version 2 wrote must always be read, and mean the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio.errors import ToolkitError
from audio.manifest import Clip, read_manifest
from synth.cache import Cache
from synth.channel import ChannelPlan
from synth.making import remake
from synth.splice import SplicePlan
from synth.takes import Library, Take

GOLDEN = Path(__file__).parents[1] / "golden" / "plans_v2.jsonl"


@pytest.mark.parametrize("clip", read_manifest(GOLDEN), ids=lambda clip: clip.path)
def test_plans_of_version_2_are_read(clip: Clip) -> None:
    """Catches a renamed field, kind or operation: nobody could render older sets again."""
    assert clip.splice is not None
    assert clip.channel is not None
    facts = dict(clip.channel)
    facts.pop("seed")
    plan, channel = SplicePlan.from_json(clip.splice), ChannelPlan.from_json(facts)
    assert json.loads(json.dumps(plan.to_json())) == clip.splice
    assert json.loads(json.dumps(channel.to_json())) == facts
    takes = {source["source"]: Take.from_json(source) for source in clip.sources}
    assert {piece.source for piece in plan.pieces} <= takes.keys()
    assert all(take.treatment is None or take.treatment.to_json() for take in takes.values())


def test_the_frozen_lines_show_everything() -> None:
    text = GOLDEN.read_text(encoding="utf-8")
    for word in ("insert", "delete", "raised_overlap_add", '"tilt": true', '"treatment"', '"room": {', '"codec": "'):
        assert word in text


def test_a_line_without_a_plan_is_told(tmp_path: Path) -> None:
    library = Library(tmp_path, None, Cache(tmp_path))
    with pytest.raises(ToolkitError, match=r"a\.wav: expected a splice plan in the manifest, received none"):
        remake(Clip("a.wav", "real"), library, None)
    with pytest.raises(ToolkitError, match="expected a take with its kind"):
        Take.from_json({"source": 0})
