"""Readers of known data sets: each turns a folder as it was downloaded into our clips."""
