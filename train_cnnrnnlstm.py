"""Train a detector on a set of clips. Try `python train_cnnrnnlstm.py --help`."""

import sys

from apps.cli import train
from apps.cli.main import run_alone

if __name__ == "__main__":
    sys.exit(run_alone(train, program="train_cnnrnnlstm.py"))
