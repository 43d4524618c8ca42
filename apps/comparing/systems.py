"""Everything that can be compared: names, what they are, and how the training command is asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from audio.errors import UsageError

STACK = "stack"

MEMBERS = ("logistic", "forest", "xgboost")
"""What the stack stands on: they are fitted anew for each of its folds, which would take networks too long."""


CLASSICAL: Mapping[str, str] = {
    "svm": "support vector machine with an RBF kernel over hand-made features",
    "logistic": "logistic regression over hand-made features",
    "forest": "random forest over hand-made features",
    "knn": "nearest neighbours among hand-made features",
    "xgboost": "gradient-boosted trees (XGBoost) over hand-made features",
}
"""Classical systems by their names in `model.classical.pipelines.SYSTEMS`."""

Runs = Callable[[str], Path]
"""Where the run of a system on the same division lies."""


@dataclass(frozen=True)
class System:
    """One system."""

    name: str
    summary: str
    """What it is, in a few words."""
    ask: Callable[[Runs], tuple[str, ...]]
    """Arguments of `train_cnnrnnlstm.py`, given where the runs of other systems lie; pickles."""
    needs: tuple[str, ...] = ()
    """Systems that must be trained before, on the same division."""
    is_network: bool = False
    """Whether it learns step by step: it takes a budget of processor time, and goes on after a stop."""


def systems() -> dict[str, System]:
    """Return every system by its name: networks, ours first, then classical ones, then the stack."""
    from model.classical.pipelines import EMBEDDINGS
    from model.networks import ARCHITECTURES, DEFAULT

    networks = [
        System(name, each.summary, partial(_fixed, ("--network", name)), is_network=True)
        for name, each in ARCHITECTURES.items()
    ]
    classical = [System(name, summary, partial(_fixed, ("--classical", name))) for name, summary in CLASSICAL.items()]
    composed = [
        System(
            EMBEDDINGS,
            f"support vector machine over what {DEFAULT} makes of a window",
            partial(_of_network, EMBEDDINGS, DEFAULT),
            needs=(DEFAULT,),
        ),
        System(STACK, f"logistic regression over {', '.join(MEMBERS)}", _stacked, needs=MEMBERS),
    ]
    return {each.name: each for each in (*networks, *classical, *composed)}


def chosen(names: Sequence[str], known: Mapping[str, System]) -> list[System]:
    """Return the systems of these names, and before each those that it needs.

    Raises
    ------
    UsageError
        When there is none of a name.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"--systems: expected all or some of {', '.join(known)}. Received: {', '.join(unknown)}")
    found: dict[str, System] = {}
    for name in names:
        found |= {each: known[each] for each in (*known[name].needs, name)}
    return list(found.values())


def _fixed(words: tuple[str, ...], runs: Runs) -> tuple[str, ...]:
    return words


def _of_network(name: str, network: str, runs: Runs) -> tuple[str, ...]:
    return ("--classical", name, "--from-pretrained", str(runs(network)))


def _stacked(runs: Runs) -> tuple[str, ...]:
    return ("--stack", *(str(runs(name)) for name in MEMBERS))
