"""Agent runtimes: the protocol they are spoken to with, their adapters, and the executions that outlive any of us."""
