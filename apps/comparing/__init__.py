"""`script.py compare`: every system trained and judged on the same clips under one budget, in one table."""
