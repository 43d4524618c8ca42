"""A trained network as other programs read it: how each format is written from a bundle, and how it is run again.

    onnx         model.onnx     the bundle's own; as int8 its matrix products and LSTMs have 8-bit weights
    litert       model.tflite   batch fixed at 1, time open; as int8 all large weights have 8 bits
    keras        model.keras    the bundle's own, without the state of its optimiser
    saved_model  a folder       TensorFlow's own, batch and time open

With an open batch, a LiteRT file can be made only with TensorFlow's own operations in it, and then LiteRT alone does
not run it: the lists that the recurrences fill need a known batch. With a batch of 1 it is LiteRT's own all through,
and time can stay open. TensorFlow is imported where it is needed: ONNX goes without.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio.errors import ModelError
from model.bundle import KERAS_NAME, ONNX_NAME, Bundle
from model.judging.runtime import LITERT_NAME
from model.judging.sessions import INPUT, OUTPUTS, Float, Session, litert_session, one_line, onnx_session

SAVED_MODEL_NAME = "saved_model"

ONNX_INT8 = ("MatMul", "LSTM")
"""What becomes int8 in ONNX. Not the convolutions: with them the file was 14 % smaller, but a window took 14 % longer
and its frame scores were 3.6 times as far off (demo model, a window of noise)."""


@dataclass(frozen=True)
class Format:
    """One way to write a network down."""

    name: str
    artefact: str
    """Name of the file or folder."""
    write: Callable[[Bundle, Path, bool], None]
    """Write a bundle's network to a path, as int8 or not."""
    open: Callable[[Path], Session]
    """Load what was written."""
    is_runtime: bool
    """Whether `model.judging.runtime` can judge with it."""


def _write_onnx(bundle: Bundle, path: Path, int8: bool) -> None:
    if not int8:
        shutil.copyfile(bundle.onnx_path, path)
        return
    try:
        with _root_logger_kept():
            from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise ModelError("int8 for ONNX needs the package onnx: install it with 'pip install onnx'") from None
    with _root_logger_kept(), _failing_as(f"{bundle.onnx_path}: it cannot become int8"):
        # Unsigned, because signed weights overflow in the products of x86 processors without VNNI (ONNX Runtime's
        # guide to quantisation).
        quantize_dynamic(
            bundle.onnx_path,
            path,
            weight_type=QuantType.QUInt8,
            op_types_to_quantize=list(ONNX_INT8),
            per_channel=True,
        )


def _write_litert(bundle: Bundle, path: Path, int8: bool) -> None:
    network = judging_form(load_keras(bundle))
    import tensorflow as tf

    with (
        tempfile.TemporaryDirectory() as folder,
        _quietly(),
        _failing_as(f"{bundle.keras_path}: LiteRT cannot express this network"),
    ):
        _save(network, Path(folder), batch=1)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if int8 else []
        path.write_bytes(converter.convert())


def _write_keras(bundle: Bundle, path: Path, int8: bool) -> None:
    load_keras(bundle).save(path)


def _write_saved_model(bundle: Bundle, path: Path, int8: bool) -> None:
    network = judging_form(load_keras(bundle))
    with _quietly():
        _save(network, path, batch=None)


def load_keras(bundle: Bundle) -> Any:
    """Load the Keras network of a bundle, without its optimiser.

    Raises
    ------
    ModelError
        When TensorFlow is missing, or the file holds no network that can be loaded.
    """
    return _load_keras(bundle.keras_path)


def _load_keras(path: Path) -> Any:
    try:
        from model.training.quiet import load_tensorflow

        load_tensorflow()
        import keras
    except ImportError:
        raise ModelError("this format needs TensorFlow: install it with 'pip install tensorflow keras'") from None
    with _root_logger_kept(), _failing_as(f"{path}: expected a network of Keras"):
        return keras.saving.load_model(path, compile=False)


def judging_form(network: Any) -> Any:
    """Return the same Keras network with the outputs that judging reads: frame scores (batch, frames), and logits."""
    import keras

    frames = keras.layers.Reshape((-1,), name="frame_scores")(network.output["frames"])
    return keras.Model(network.input, {"frames": frames, "clip_logits": network.output["clip_logits"]})


def _save(network: Any, folder: Path, *, batch: int | None) -> None:
    """Write a saved model; one call, `serve`, which takes any length of time."""
    import keras
    import tensorflow as tf

    n_bands = network.input_shape[-1]
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serve",
        lambda features: network(features, training=False),
        input_signature=[tf.TensorSpec((batch, None, n_bands), tf.float32, name=INPUT)],
    )
    archive.write_out(folder, verbose=False)


def _keras_session(path: Path) -> Session:
    network = judging_form(_load_keras(path))
    import tensorflow as tf

    any_length = [tf.TensorSpec((1, None, network.input_shape[-1]), tf.float32)]
    return _answers(tf.function(lambda features: network(features, training=False), input_signature=any_length))


def _saved_model_session(path: Path) -> Session:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return _answers(lambda features: loaded.serve(features))  # `serve` alone does not keep the weights alive


def _answers(call: Callable[[Any], Mapping[str, Any]]) -> Session:
    """Wrap a call of TensorFlow."""

    def run(features: Float) -> tuple[Float, Float]:
        outputs = call(features)
        frames, logits = (np.asarray(outputs[name]) for name in OUTPUTS)
        return frames, logits

    return run


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Turn whatever a converter raises into one line."""
    try:
        yield
    except Exception as error:
        raise ModelError(f"{what}: {one_line(error)[:300]}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep TensorFlow's asides to ourselves."""
    from model.training.quiet import quiet_stderr

    with warnings.catch_warnings(), _root_logger_kept(), quiet_stderr():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Swallow what is logged at the root, which would also give it a handler that repeats every line of ours."""
    root, swallow = logging.getLogger(), logging.NullHandler()
    root.addHandler(swallow)
    try:
        yield
    finally:
        root.removeHandler(swallow)


FORMATS: Mapping[str, Format] = {
    made.name: made
    for made in (
        Format("onnx", ONNX_NAME, _write_onnx, onnx_session, is_runtime=True),
        Format("litert", LITERT_NAME, _write_litert, litert_session, is_runtime=True),
        Format("keras", KERAS_NAME, _write_keras, _keras_session, is_runtime=False),
        Format("saved_model", SAVED_MODEL_NAME, _write_saved_model, _saved_model_session, is_runtime=False),
    )
}
"""Every format by its name. Those that judging can run can be int8 too: Keras would make nothing int8 but its dense
layers, and a saved model not even those."""
