"""Tracks: one file and one card per kind of evaluation. A track reduces tensors to parts."""
