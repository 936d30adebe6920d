"""LangGraph Server: its threads and runs over HTTP, its stream as server-sent events; see `adapter.py`."""
