"""Records in a database: the index of a run folder, and a store that a team shares. Record files stay the truth."""
