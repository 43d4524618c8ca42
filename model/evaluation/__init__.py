"""Judging a whole set and saying how good the judgements are: scores, figures with intervals, breakdowns, a report."""
