"""The control plane for AI-agent workflows: one GraphQL API with subscriptions."""
