"""What resolvers of the product get."""

import strawberry

from graphql_api.context import Context

Info = strawberry.Info[Context, None]
