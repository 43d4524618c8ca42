"""What a bundle holds as one thing that says of a window what there is to say, whatever it is.

    network     samples -> log-mel -> ONNX, LiteRT
    classical   samples -> hand-made features or embeddings -> fitted models
    stack       samples -> each of its members -> fitted models over what they say

Listening, calibration, operating points, evaluation, scanning and living streams know nothing but `System.judge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.bundle import NETWORK, STACK, Bundle, read_bundle
from model.features import FeatureConfig, log_mel
from model.judging.runtime import Network, open_network
from model.judging.sessions import Float


class System(Protocol):
    """A trained model that can be run."""

    def judge(self, samples: Float) -> tuple[Float, Float]:
        """Judge one window, by itself.

        Parameters
        ----------
        samples
            float32 (n,) at 16 kHz, finite, n at least 1.

        Returns
        -------
        P(fake) of each frame of 20 ms, float32 (n_frames,) within [0, 1], and the clip logits, float32 (3,), in the
        order of `audio.labels.LABELS`, before temperature and softmax.

        Raises
        ------
        ModelError
            The model does not do what its bundle says.
        """


@dataclass(frozen=True)
class LogMelNetwork:
    """A network, with the features that it sees."""

    network: Network
    features: FeatureConfig

    def judge(self, samples: Float) -> tuple[Float, Float]:
        """See `System`."""
        return self.network.run(log_mel(samples, self.features))


def open_system(bundle: Bundle, runtime: str | None = None) -> System:
    """Load what a bundle holds.

    Parameters
    ----------
    bundle
        as `model.bundle.read_bundle` gives it.
    runtime
        what runs a network (`model.judging.runtime.open_network`); None for every other kind.

    Raises
    ------
    UsageError
        There is no such runtime, or the model is no network.
    ModelError
        The bundle's files are not what it says, or a package is missing.
    """
    if bundle.kind == NETWORK:
        return LogMelNetwork(open_network(bundle, runtime), bundle.features)
    if runtime is not None:
        bundle.require_network(f"runtime {runtime}")
    if bundle.kind == STACK:
        from model.classical.stack import member_folders, open_stack

        return open_stack(bundle, [open_system(read_bundle(folder)) for folder in member_folders(bundle)])
    from model.classical.system import open_classical

    return open_classical(bundle)
