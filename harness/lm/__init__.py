"""The language model: fetched, loaded, read at a block, and continued from an edited block."""
