"""How the events of subscriptions get to the wire without being executed field by field."""
