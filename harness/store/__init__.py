"""What is kept on disk: activations, fitted methods, records. Everything is written atomically and checked when read."""
