"""What is kept on disk: activations, fitted methods, records; written atomically and checked when read."""
