"""What tests do as the demo account of `orchestrator dev`."""

import httpx

from graphql_api.cli import demo_account
from support.scripted_api import Json

LOGIN = "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } errors { message } } }"
CREATE = (
    "mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) { workflow { id } errors { message } } }"
)
REFINE = (
    "mutation($input: RefineWorkflowInput!) { refineWorkflow(input: $input) { proposal { id } errors { message } } }"
)


class DemoAuthor:
    """The demo account of a server, signed in.

    Args:
        url: Of the server, without a path.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"
        account = {"email": demo_account.EMAIL, "password": demo_account.PASSWORD}
        self.token = ""
        self.token = self.change(LOGIN, **account)["session"]["accessToken"]

    def change(self, document: str, **fields: object) -> Json:
        """Run a mutation with one input; give its payload, which has no errors."""
        (payload,) = self.ask(document, input=fields).values()
        assert payload["errors"] == []
        found: Json = payload
        return found

    def ask(self, document: str, **variables: object) -> Json:
        """Run an operation; give its data."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        body = {"query": document, "variables": variables}
        answer = httpx.post(self._url, json=body, headers=headers, trust_env=False).json()
        found: Json = answer["data"]
        return found

    def workflow(self, name: str) -> str:
        """Make a workflow; give its id."""
        found: str = self.change(CREATE, name=name, templateSlug="single-agent")["workflow"]["id"]
        return found

    def proposal(self, prompt: str, *, workflow: str = "Watched") -> str:
        """Ask the agent for something, for a workflow of its own; give the proposal's id."""
        found: str = self.change(REFINE, workflowId=self.workflow(workflow), prompt=prompt)["proposal"]["id"]
        return found
