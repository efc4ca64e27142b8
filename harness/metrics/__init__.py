"""Metrics: numpy only. Every module of this folder is found by itself; see ``contract`` for what a metric is."""
