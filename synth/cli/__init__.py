"""The commands of `python -m synth`, one file each: `HELP`, `EXAMPLE`, `add_arguments`, `run`."""
