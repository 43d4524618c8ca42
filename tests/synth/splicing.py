"""Sources, material and plans for the tests of the splicer: genuine babble, and twins of it in another voice."""

from __future__ import annotations

import numpy as np
from babbling import babble

from audio.labels import FAKE, HYBRID
from synth.pcm import Pcm, to_float, to_pcm
from synth.planning import FOREIGN, IN_PLACE, Material, Shape, Strip, choose_plan
from synth.splice import SplicePlan

GENUINE = {i: to_pcm(babble(i, seconds=2.5 + 0.4 * i)) for i in range(4)}
"""Three recordings to lay out, one for other words."""

TWINS = {i: to_pcm(0.7 * babble(i, seconds=2.5 + 0.4 * i, pitch_hz=150)) for i in range(4)}


def strip(pcm: Pcm) -> Strip:
    """What a plan knows of a recording. What is loud is speech here: babble pauses too briefly for a detector."""
    frames = to_float(pcm)[: pcm.size // 320 * 320].reshape(-1, 320)
    return Strip(pcm.size, np.abs(frames).max(axis=1) > 0.01)


def sides(label: str, *, reverse: bool) -> tuple[bool, bool]:
    """Whether base and spans are fake."""
    return label == FAKE or (label == HYBRID and reverse), label == FAKE or (label == HYBRID and not reverse)


def sources_for(base_fake: bool, span_fake: bool, *, kind: str) -> dict[int, Pcm]:
    """The recordings in the order in which plans number them."""
    base, span = (TWINS if fake else GENUINE for fake in (base_fake, span_fake))
    spans = [span[i] for i in range(3)] if kind == IN_PLACE else [span[3]] if kind == FOREIGN else []
    return dict(enumerate([*(base[i] for i in range(3)), *spans]))


def material_for(base_fake: bool, span_fake: bool, *, kind: str) -> Material:
    strips = tuple(strip(pcm) for pcm in sources_for(base_fake, span_fake, kind=kind).values())
    twins, others = (strips[3:], ()) if kind == IN_PLACE else ((), strips[3:])
    return Material(strips[:3], twins, others, base_fake, span_fake)


def plans(label: str, count: int, *, kind: str, reverse: bool = False) -> list[SplicePlan]:
    """Plans for clips of 3 to 6 s."""
    base_fake, span_fake = sides(label, reverse=reverse)
    material = material_for(base_fake, span_fake, kind=kind)
    share = (0.15, 0.98) if reverse else (0.02, 0.85)
    return [
        choose_plan(np.random.default_rng((7, k)), material, Shape(48_000 + 480 * (k % 100), kind, speech_share=share))
        for k in range(count)
    ]
