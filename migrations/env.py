"""Runs migrations on the connection that `graphql_api.kit.migrations` hands over."""

from alembic import context
from sqlalchemy import Text
from sqlmodel import AutoString, SQLModel

import graphql_api.authoring.models
import graphql_api.events.models
import graphql_api.identity.models
import graphql_api.kit.contents
import graphql_api.kit.rates
import graphql_api.runtimes.circuit
import graphql_api.runtimes.models  # noqa: F401 - every table must be known to the metadata
from graphql_api.kit.columns import EnumText


def types_differ(_context, _column, _model_column, database_type, model_type):  # noqa: ANN001, ANN201 - Alembic's own
    """Take SQLModel's unbounded strings for what PostgreSQL calls text; leave the rest to Alembic."""
    if isinstance(model_type, AutoString) and model_type.length is None and isinstance(database_type, Text):
        return False
    return None


def render(kind, item, _context):  # noqa: ANN001, ANN201 - Alembic's own
    """Write text where the models have a type of SQLModel's or ours that is text in the database."""
    return "sa.Text()" if kind == "type" and isinstance(item, AutoString | EnumText) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=types_differ,
    compare_server_default=True,
    render_item=render,
    on_version_apply=context.config.attributes.get("told"),
)
with context.begin_transaction():
    context.run_migrations()
