"""Head to head: two methods, or two result folders, on everything they share. Reads records, never runs anything."""
