"""What the sizes of every network have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from audio.errors import UsageError

POOLINGS = ("mean-max", "attention")
"""Mean and maximum over time; or a mean weighted by what the network attends to (attentive statistics pooling without
the deviations: Okabe et al., Interspeech 2018), and the maximum of P(fake)."""


@dataclass(frozen=True)
class BaseConfig:
    """Sizes of a network. Each architecture has a `NetworkConfig` of its own, with more of them."""

    architecture: str = field(default="", init=False)
    """Which network has these sizes, one of `model.networks.ARCHITECTURES`."""
    dropout: float = 0.2
    pooling: str = "mean-max"
    """How frames become a clip's verdict, one of `POOLINGS`."""

    @property
    def least_mels(self) -> int:
        """How many mel bands the features need at least."""
        return 1

    def __post_init__(self) -> None:
        """Refuse sizes that make no network.

        Raises
        ------
        UsageError
            For a size below 1 or a dropout outside [0, 1).
        """
        if not all(type(size) is int and size >= 1 for size in self._sizes()):
            raise UsageError(f"network: expected whole sizes of 1 or more. Received: {self}")
        if self.pooling not in POOLINGS:
            raise UsageError(f"network: expected a pooling of {', '.join(POOLINGS)}. Received: {self.pooling!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"network: expected 0 <= dropout < 1. Received: {self.dropout}")

    def _sizes(self) -> Iterator[object]:
        """Everything that counts layers or units; an empty list, or one where there should be a number, counts as 0."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(each.default, tuple):
                yield from value if isinstance(value, tuple) and value else (0,)
            elif type(each.default) is int:
                yield value


@dataclass(frozen=True)
class ConvolutionConfig(BaseConfig):
    """Sizes of a network that begins with `model.networks.parts.convolved`."""

    channels: tuple[int, ...] = (16, 32, 48)
    """Feature maps of the convolution blocks."""
    band_strides: tuple[int, ...] = (4, 2, 2)
    """How many bands each block merges into one. Merging early makes a step twice as fast and learns as well."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network; raises `UsageError`."""
        super().__post_init__()
        if len(self.channels) != len(self.band_strides):
            raise UsageError(f"network: expected a stride for each block. Received: {self}")
