"""Reports: what one kind of evaluation found, as a page to read; from finished records alone, without a model.

Every package in this folder is the report of the track of its name, and holds its ``REPORT``.
"""
