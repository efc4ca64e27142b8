"""Records are computed again, from what they hold, and compared."""
