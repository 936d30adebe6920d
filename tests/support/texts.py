"""Texts in the content store, for tests of what reads them."""

from collections.abc import Collection

from graphql_api.kit import contents
from graphql_api.kit.statements import Statement, Transaction

_STORE = Statement(contents.STORE.format(condition=""))


async def store(transaction: Transaction, texts: Collection[str]) -> None:
    """Keep texts, as statements do that have `STORE` in them."""
    await transaction.fetch(_STORE, **contents.arguments(texts))
