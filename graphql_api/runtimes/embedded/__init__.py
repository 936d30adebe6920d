"""The embedded runtime: a rule-based author that needs no key, no network and no language model; see `adapter.py`."""
