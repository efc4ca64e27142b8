"""Rows from hubs, folders, generators and YAML become documents, splits and token batches."""
