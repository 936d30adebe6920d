import asyncio
from uuid import uuid4

import pytest
from sqlmodel import select
from support.texts import store

from graphql_api.kit.contents import Content, load
from graphql_api.kit.database import Database
from graphql_api.kit.files import digest_of

pytestmark = pytest.mark.anyio


class TestStore:
    async def test_a_text_is_kept_once_under_its_digest(self, database: Database) -> None:
        content = f"é {uuid4()}"
        for _ in range(2):
            async with database.transaction() as session:
                await store(session, [content, content, "other"])
        async with database.transaction() as session:
            kept = (await session.exec(select(Content).where(Content.digest == digest_of(content)))).one()
        assert (kept.content, kept.size) == (content, len(content) + 1)

    async def test_nothing_is_no_work(self, database: Database) -> None:
        async with database.transaction() as session:
            await store(session, [])
            assert await load(session, []) == {}

    async def test_writers_of_the_same_texts_do_not_block_each_other_for_ever(self, database: Database) -> None:
        contents = [f"{uuid4()}" for _ in range(40)]

        async def write(texts: list[str]) -> None:
            async with database.transaction() as session:
                await store(session, texts)

        await asyncio.gather(*(write(contents[::step]) for step in (1, -1, 2, -2) for _ in range(2)))
        async with database.transaction() as session:
            loaded = await load(session, [digest_of(content) for content in contents])
        assert sorted(loaded.values()) == sorted(contents)


class TestLoad:
    async def test_what_is_not_kept_is_left_out(self, database: Database) -> None:
        content = f"{uuid4()}"
        async with database.transaction() as session:
            await store(session, [content])
            assert await load(session, {digest_of(content), "0" * 64}) == {digest_of(content): content}
