"""The network behind a bundle's heads, as ONNX: what makes the embeddings of `model.classical.embeddings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from audio.errors import ModelError
from model.bundle import Bundle
from model.classical.embeddings import ONNX_FILE, OUTPUTS, Embeddings
from model.judging.sessions import onnx_session
from model.training.formats import load_keras

HEADS = ("frames", "clip_logits")
"""Layers of every network of `model.networks` whose inputs are the embeddings."""


def write_embeddings(bundle: Bundle, folder: Path) -> tuple[Embeddings, dict[str, Any]]:
    """Write the network of a bundle without its heads into a folder.

    Returns
    -------
    the embeddings, and what the bundle of a system over them says of them

    Raises
    ------
    ModelError
        When TensorFlow is missing, or the network has no such heads.
    UsageError
        When the bundle holds no network.
    """
    bundle.require_network("embeddings")
    network = load_keras(bundle)
    import keras

    from model.training.export import write_onnx

    try:
        tensors = [network.get_layer(name).input for name in HEADS]
    except ValueError as error:
        raise ModelError(f"{bundle.path}: expected a network with the heads {', '.join(HEADS)}: {error}") from None
    frames = tensors[0]
    if len(frames.shape) > 3:  # one vector a frame, whatever the network keeps apart
        frames = keras.layers.Reshape((-1, int(np.prod(frames.shape[2:]))))(frames)
    write_onnx(keras.Model(network.input, dict(zip(OUTPUTS, (frames, tensors[1]), strict=True))), folder / ONNX_FILE)
    sizes = (int(frames.shape[-1]), int(tensors[1].shape[-1]))
    facts = {"features": bundle.features.to_json(), "sizes": list(sizes), "network": bundle.name}
    return Embeddings(onnx_session(folder / ONNX_FILE, OUTPUTS), bundle.features, sizes), facts
