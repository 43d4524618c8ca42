"""A head: fitted models over a row of features, as they run and as they are written down.

    NAME.skops    scaler, components where there are any, classifier: scikit-learn, written by skops
    NAME.json     the trees of XGBoost instead of a classifier, in its own JSON

Nothing is unpickled. skops builds the types that it trusts and those of `TRUSTED`; anything else in the file, and
anything that is no pipeline of `STEPS`, is refused. That the file is the one that was written, its hash in the bundle
says (`model.bundle.read_bundle`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError
from model.bundle import Bundle
from model.judging.sessions import one_line

TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.tree._tree.Tree",
)
"""Private types of scikit-learn that its own classifiers are made of, besides those that skops trusts by itself."""

STEPS = (
    "StandardScaler",
    "PCA",
    "CalibratedClassifierCV",
    "LogisticRegression",
    "RandomForestClassifier",
    "KNeighborsClassifier",
)
"""What a pipeline may be made of."""

INSTALL = "pip install scikit-learn scipy skops xgboost-cpu"
"""How to get what is missing (on macOS: xgboost)."""

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted classifier, with what happens to a row before it."""

    pipeline: Any
    """scikit-learn's Pipeline; it ends in a classifier, or with nothing but transformers where there is a booster."""
    columns: NDArray[np.int64]
    """Which features it reads, (k,)."""
    classes: tuple[int, ...]
    """What the columns of the answer stand for."""
    booster: Any = None
    """XGBoost's Booster."""

    def probabilities(self, rows: Float) -> NDArray[np.float64]:
        """Return the probabilities of rows (n, d): float64 (n, len(classes)), each row adding up to 1."""
        if not len(rows):
            return np.zeros((0, len(self.classes)))
        read = rows[:, self.columns]
        with one_thread():
            if self.booster is None:
                return np.asarray(self.pipeline.predict_proba(read), dtype=np.float64)
            found = np.asarray(self.booster.inplace_predict(self.pipeline.transform(read)), dtype=np.float64)
        return found if found.ndim == 2 else np.stack([1.0 - found, found], axis=1)

    def facts(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what a bundle says of it: the names of the features that it reads, and its classes."""
        return {"features": [names[i] for i in self.columns], "classes": list(self.classes)}


def one_thread() -> AbstractContextManager[Any]:
    """Keep matrix products and neighbours to one thread: a window is small, and two would wait for each other."""
    return _controller().limit(limits=1)


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def required(package: str) -> Any:
    """Import a package of the extra `classical`; raises `ModelError` with the command that installs it."""
    from importlib import import_module

    try:
        return import_module({"skops": "skops.io", "sklearn": "sklearn.pipeline", "xgboost": "xgboost.core"}[package])
    except ImportError:
        raise ModelError(f"classical models need {package}, which is missing: install it with '{INSTALL}'") from None


def save_head(head: Head, folder: Path, name: str) -> tuple[str, ...]:
    """Write a head into a folder, and return the names of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    required("skops").dump(head.pipeline, folder / f"{name}.skops")
    if head.booster is None:
        return (f"{name}.skops",)
    head.booster.save_model(folder / f"{name}.json")
    return f"{name}.skops", f"{name}.json"


def load_head(bundle: Bundle, name: str, features: Sequence[str]) -> Head:
    """Load a head of a bundle.

    Parameters
    ----------
    bundle
        As `model.bundle.read_bundle` gives it, which has checked the hashes of its files.
    name
        Which head.
    features
        Names of the features that are computed, in order.

    Raises
    ------
    ModelError
        The files are not what they should be, a package is missing, or the head reads features that there are none of.
    """
    try:
        facts: Mapping[str, Any] = bundle.system["heads"][name]
        places = {feature: i for i, feature in enumerate(features)}
        columns = np.array([places[feature] for feature in facts["features"]], dtype=np.int64)
        classes = tuple(int(each) for each in facts["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{bundle.path}: not a complete head {name!r}, missing or unknown: {error}") from None
    has_booster = f"{name}.json" in bundle.files
    pipeline = _load_pipeline(_file(bundle, f"{name}.skops"), ends_in_classifier=not has_booster)
    booster = _load_booster(_file(bundle, f"{name}.json")) if has_booster else None
    head = Head(pipeline, columns, classes, booster)
    _try(head, bundle, len(features))
    return head


def _file(bundle: Bundle, name: str) -> Path:
    if name not in bundle.files:
        raise ModelError(f"{bundle.path}: expected the file {name}, received {', '.join(bundle.files)}")
    return bundle.path / name


def _load_pipeline(path: Path, *, ends_in_classifier: bool) -> Any:
    io, pipeline_type = required("skops"), required("sklearn").Pipeline
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a neighbouring version of scikit-learn: `_try` sees whether it runs
            loaded = io.load(path, trusted=list(TRUSTED))
    except Exception as error:  # whatever is in the file: no zip, no schema, types that are not trusted
        raise ModelError(f"{path}: expected a model written by skops: {one_line(error)[:200]}") from None
    steps = [type(step).__name__ for _, step in loaded.steps] if type(loaded) is pipeline_type else [str(type(loaded))]
    known = set(steps) <= set(STEPS) and all(type(step).__module__.startswith("sklearn.") for _, step in loaded.steps)
    if not known or hasattr(loaded, "predict_proba") != ends_in_classifier:
        raise ModelError(f"{path}: expected a pipeline of {', '.join(STEPS)}. Received: {', '.join(steps)}")
    return loaded


def _load_booster(path: Path) -> Any:
    booster = required("xgboost").Booster({"nthread": 1})
    try:
        booster.load_model(path)
    except Exception as error:  # XGBoost's own error carries its stack
        raise ModelError(f"{path}: expected trees of XGBoost: {one_line(error)[:200]}") from None
    return booster


def _try(head: Head, bundle: Bundle, n_features: int) -> None:
    """Refuse a head that does not run, or answers something else: now, and not at the first recording."""
    try:
        found = head.probabilities(np.zeros((2, n_features), dtype=np.float32))
    except Exception as error:
        raise ModelError(f"{bundle.path}: a head that cannot run: {one_line(error)[:200]}") from None
    if found.shape != (2, len(head.classes)) or not np.isfinite(found).all():
        raise ModelError(f"{bundle.path}: expected {len(head.classes)} probabilities, received {found.shape}")
