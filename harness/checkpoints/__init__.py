"""Other people's dictionaries: one file per format, one place that detects it, one class that runs them all."""
