"""`orchestrator dev`, `serve` and `worker`: what runs until it is told to stop."""
