"""Fitting dictionaries: one training loop, one sparse kernel, shared by every dictionary method."""
