"""`python -m graphql_api` is `orchestrator`."""

from graphql_api.cli import main

if __name__ == "__main__":
    main()
