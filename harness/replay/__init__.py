"""Records run again, and whether they agree with what was stored."""
