"""What a process in test_team.py does: train a tiny network on two devices of one processor, and then on one.

python team_process.py PLACE      the set PLACE/set by PLACE/tiny.toml, to PLACE/mirrored.npz and PLACE/alone.npz
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Train, and write the weights of the best epoch."""
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    import numpy as np
    import tensorflow as tf

    from model.training.examples import read_set
    from model.training.fit import fit
    from model.training.settings import TrainSettings, read_config
    from model.training.team import open_team

    place = Path(sys.argv[1])
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    teams = {"mirrored": open_team("mirrored", devices=["CPU:0", "CPU:1"]), "alone": open_team("one")}
    settings = TrainSettings(data="", **read_config(place / "tiny.toml"))
    for name, team in teams.items():
        model = fit(place / name, settings, read_set(place / "set", seed=settings.seed), team=team)
        np.savez(place / f"{name}.npz", *model.get_weights())


if __name__ == "__main__":
    main()
