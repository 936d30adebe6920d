"""The account that `orchestrator dev` makes and `orchestrator demo` signs in with."""

EMAIL = "demo@example.com"
NAME = "Demo"
PASSWORD = "demo-password"  # noqa: S105 - published on purpose, and of no use outside `dev`
