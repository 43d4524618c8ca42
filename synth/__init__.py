"""Recordings whose truth is known: genuine voices, synthetic twins of them, splices of both, random channels.

The surface of the package, loaded on first use (PEP 562) so that `import synth` stays light:

    voices    `fetch_prompts`, `voices_from_folder`, `fakes_from_folder`
    engines   `engine`, `ENGINES`
    splices   `Piece`, `Join`, `SplicePlan`, `Strip`, `Material`, `choose_plan`, `match_loudness`, `render`
    channel   `ChannelPlan`, `choose_channel`, `apply_channel`, `apply_channels`
    sets      `Recipe`, `plan_set`, `Places`, `build_set`
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "synth.build": ("Places", "build_set"),
    "synth.channel": ("ChannelPlan", "apply_channel", "apply_channels", "choose_channel"),
    "synth.engines": ("ENGINES", "engine"),
    "synth.prompts": ("fetch_prompts",),
    "synth.recipe": ("Recipe", "plan_set"),
    "synth.splice": (
        "Join",
        "Material",
        "Piece",
        "SplicePlan",
        "Strip",
        "choose_plan",
        "match_loudness",
        "render",
    ),
    "synth.voices": ("fakes_from_folder", "voices_from_folder"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'synth' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
