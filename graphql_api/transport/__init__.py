"""What stands between HTTP or WebSocket and the schema."""
