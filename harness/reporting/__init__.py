"""Reports: what a run found, as a page to read; from finished records alone, without a model.

Every package in this folder is a report, and holds its ``REPORT``: the tracks it reads, and what it says of them.
"""
