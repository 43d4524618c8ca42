"""The commands of `script.py`, one file each."""
