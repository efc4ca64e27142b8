"""Publishing: records become tables and pages, without torch."""
