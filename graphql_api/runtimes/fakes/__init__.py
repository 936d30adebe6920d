"""Fake runtimes: servers that speak as the real ones do, from a script or a recording, and misbehave when asked to.

For tests, for `orchestrator fake-runtime`, and for nothing else: no other module imports this package.
"""
