"""The append-only log: appended in batches, followed by replay and then live."""
