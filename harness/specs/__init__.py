"""YAML becomes frozen, checked models; nothing here imports torch."""
