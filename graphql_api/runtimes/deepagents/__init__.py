"""The adapter of deepagents-runtime: HTTP to start and ask, a WebSocket to listen."""
