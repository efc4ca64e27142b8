"""Pass, fail or inconclusive against a baseline of records: a regression told from noise. Never runs anything."""

from harness.gates.gate import gate

__all__ = ["gate"]
