"""Stock Strawberry that serves the product's own types and use cases, from `DATABASE_URL`; prints its port.

What it leaves out is what the product puts around them: kept documents, plans, bounds, rates, places, metrics, access
lines. Who asks is found out as an application on python-jose does it, with the secret `JWT_SECRET`.
"""

import os
from uuid import UUID

import strawberry
from jose import jwt
from query_servers import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig

from graphql_api import app
from graphql_api.context import Context
from graphql_api.identity.actor import Actor
from graphql_api.identity.models import User
from graphql_api.identity.tokens import AUDIENCE, ISSUER
from graphql_api.kit.database import parse_url
from graphql_api.kit.types import SCALARS
from graphql_api.schema import Mutation, Query
from graphql_api.settings import Settings


def stock(url: str, secret: str) -> ASGIApp:
    """Make the endpoint."""
    engines = app.make_engines(Settings(), parse_url(url), (secret,))

    class Endpoint(GraphQL[Context, None]):
        async def get_context(self, request: Request, response: Response) -> Context:  # noqa: ARG002 - the signature is Strawberry's
            token = request.headers["authorization"].partition(" ")[2]
            claims = jwt.decode(token, secret, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
            async with engines.database.transaction() as session:
                user = await session.get_one(User, UUID(claims["sub"]))
            return Context(engines, signed_in=Actor(user.id))

    endpoint = Endpoint(strawberry.Schema(Query, Mutation, config=StrawberryConfig(scalar_map=SCALARS)))
    return Starlette(
        routes=[Route("/graphql", endpoint)], lifespan=lambda _app: app.running(engines, with_worker=False)
    )


def main() -> None:
    """Serve until the process is ended."""
    serve(stock(os.environ["DATABASE_URL"], os.environ["JWT_SECRET"]))
