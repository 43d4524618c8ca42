"""What we measure side by side: `python -m bench.NAME`."""
