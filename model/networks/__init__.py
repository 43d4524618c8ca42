"""Networks in Keras: ours, and the field's others beside it, all with the same input and the same two heads.

A network is one file: its `NetworkConfig`, which says how large it is, and `build`. Naming them here loads no Keras.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from audio.errors import UsageError

if TYPE_CHECKING:
    import keras

    from model.features import FeatureConfig
    from model.networks.config import BaseConfig


@dataclass(frozen=True)
class Architecture:
    """One of the networks, for people."""

    module: str
    """Where it is built."""
    summary: str
    paper: str


ARCHITECTURES: Mapping[str, Architecture] = {
    "cnnrnnlstm": Architecture(
        "model.networks.cnnrnnlstm",
        "ours: strided 2-D convolutions, a SimpleRNN and an LSTM, both ways",
        "the parts are those of `cnn-bilstm` and `rnn`",
    ),
    "cnn": Architecture("model.networks.cnn", "2-D CNN: pairs of 3 x 3 convolutions", "Simonyan & Zisserman 2015"),
    "cnn1d-mfcc": Architecture(
        "model.networks.cnn1d_mfcc",
        "1-D CNN along time over 40 MFCCs, which it makes of the log-mel",
        "Davis & Mermelstein 1980; Waibel et al. 1989",
    ),
    "rnn": Architecture("model.networks.rnn", "two SimpleRNNs, forwards", "Elman 1990"),
    "gru": Architecture("model.networks.gru", "two GRUs, forwards", "Cho et al. 2014"),
    "bilstm": Architecture(
        "model.networks.bilstm", "two LSTMs, both ways", "Hochreiter & Schmidhuber 1997; Graves & Schmidhuber 2005"
    ),
    "cnn-bilstm": Architecture(
        "model.networks.cnn_bilstm", "our convolutions and one LSTM, both ways", "Sainath et al. 2015"
    ),
    "resnet50": Architecture(
        "model.networks.resnet50",
        "ResNet50 from scratch, all stages brought back to frames",
        "He et al. 2016; Lin et al. 2017; Shi et al. 2016",
    ),
    "resnet50-lstm": Architecture(
        "model.networks.resnet50_lstm", "the same and an LSTM, forwards", "He et al. 2016; Donahue et al. 2015"
    ),
    "tcn": Architecture(
        "model.networks.tcn", "dilated 1-D convolutions in residual blocks, both ways", "Bai, Kolter & Koltun 2018"
    ),
}
"""Every network by its name."""

DEFAULT = "cnnrnnlstm"
"""The one that is trained unless told otherwise, and that settings from before there were others are about."""


def config_type(name: str = DEFAULT) -> type[BaseConfig]:
    """Return the class of a network's sizes, which makes the usual ones when it is called with nothing.

    Raises
    ------
    UsageError
        When there is no such network, saying which there are.
    """
    found: type[BaseConfig] = _module(name).NetworkConfig
    return found


def build(features: FeatureConfig, config: BaseConfig, *, helpers: Collection[str] = ()) -> keras.Model:
    """Build an untrained network, as many of whose weights as `count_params()` says are numbers.

    Parameters
    ----------
    features, config
        What it hears, `config.least_mels` bands or more; and which it is, and its sizes.
    helpers
        Which of `model.networks.parts.HELPERS` it gets.

    Returns
    -------
    keras.Model
        Input `features`, float32 (batch, time, n_bands), time a multiple of `features.frames_per_score`; outputs
        `frames`, float32 (batch, time / frames_per_score, 1) in [0, 1], and `clip_logits`, float32 (batch, 3); and
        one for each helper, like `frames`.
    """
    built: keras.Model = _module(config.architecture).build(features, config, helpers=helpers)
    return built


def _module(name: str) -> Any:
    if name not in ARCHITECTURES:
        raise UsageError(f"network: expected an architecture of {', '.join(ARCHITECTURES)}. Received: {name!r}")
    return import_module(ARCHITECTURES[name].module)
