"""Make ``harness.methods.NAME`` importable from the content folder, installed or not (pickling needs it)."""

from harness.content import content_folder

__path__ = [str(content_folder("methods"))]
