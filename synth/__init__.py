"""Recordings whose truth is known: genuine voices, synthetic twins of them, splices of both, random channels.

The surface of the package, loaded on first use (PEP 562) so that `import synth` stays light:

    voices    `fetch_prompts`, `voices_from_folder`, `fakes_from_folder`
    engines   `engine`, `ENGINES`, `CommandEngine`, `parse_command`
    splices   `Piece`, `Join`, `SplicePlan`, `render`; drawn: `Strip`, `Material`, `Shape`, `choose_plan`;
              fitted: `fit_joins`, `match_tilt`, `match_loudness`; decoys: `Treatment`, `choose_treatment`, `treat`
    channel   `ChannelKit`, `ChannelPlan`, `channel_kit`, `choose_channel`, `apply_channel`, `apply_channels`
    sets      `Recipe`, `Folders`, `plan_set`, `build_set`, `remake`, `verify_set`, `read_order`, `order_from`
    streams   `open_stream`, `Stream`, `Example`, `Batches`
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "synth.build": ("build_set",),
    "synth.channel": ("ChannelKit", "ChannelPlan", "apply_channel", "apply_channels", "channel_kit", "choose_channel"),
    "synth.engines": ("ENGINES", "engine"),
    "synth.engines.command": ("CommandEngine", "parse_command"),
    "synth.making": ("Folders", "remake"),
    "synth.order": ("order_from", "read_order"),
    "synth.planning": ("Material", "Shape", "Strip", "choose_plan"),
    "synth.prompts": ("fetch_prompts",),
    "synth.recipe": ("Recipe", "plan_set"),
    "synth.seams": ("fit_joins", "match_loudness", "match_tilt"),
    "synth.splice": ("Join", "Piece", "SplicePlan", "render"),
    "synth.stream": ("Batches", "Example", "Stream", "open_stream"),
    "synth.treatments": ("Treatment", "choose_treatment", "treat"),
    "synth.verify": ("verify_set",),
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
