"""What runtimes built on LangChain and deepagents have in common: their messages, files and plans."""
