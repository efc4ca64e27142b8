"""Reliability cards: what a metric is worth, found out by running it where the truth is known."""
