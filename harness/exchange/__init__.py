"""Results of other tools, kept as they are and never ranked with ours; and ours, written as their files."""
