import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import column, delete, insert
from sqlmodel import col

from graphql_api.identity.models import User
from graphql_api.kit.columns import columns_of, select_rows
from graphql_api.kit.database import Database, Session
from graphql_api.kit.errors import CursorInvalid, ErrorCode, Invalid
from graphql_api.kit.pagination import DEFAULT_PAGE, MAX_PAGE, Page, PageRequest, Query, SortKey, read_page

pytestmark = pytest.mark.anyio

GROUP = "rows of the pagination's tests"
_user = columns_of(User)
QUERY = Query(select_rows(*_user).where(_user.name == GROUP))
BY_MOMENT_AND_KEY = (
    SortKey(_user.created_at, "created_at", datetime.fromisoformat, is_descending=True),
    SortKey(_user.id, "id", UUID),
)
BY_NAME_AND_KEY = (
    SortKey(_user.email, "email", str),
    SortKey(_user.id, "id", UUID, is_descending=True),
)
ORDERS = {"moment": BY_MOMENT_AND_KEY, "name": BY_NAME_AND_KEY}
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MOMENTS = st.integers(0, 3).map(lambda number: START + timedelta(microseconds=number))  # few, so that there are ties
KEYS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


# Drawn beforehand: what hypothesis raises out of an interactive draw would end the event loop that all tests share.
INDEXES = st.integers(0, 11)


def user(key: UUID, moment: datetime) -> User:
    return User(id=key, email=f"{key}@example.com", name=GROUP, password_hash="-", created_at=moment)


USERS = st.lists(st.builds(user, KEYS, MOMENTS), max_size=12, unique_by=lambda row: row.id)


def in_order(users: Sequence[User], order: str) -> list[User]:
    if order == "name":
        return sorted(users, key=lambda row: row.email)
    return sorted(users, key=lambda row: (-row.created_at.timestamp(), row.id.bytes))


async def put(session: Session, users: Sequence[User]) -> None:
    """Replace the rows of these tests."""
    await session.execute(delete(User).where(col(User.name) == GROUP))
    if users:
        fields = ("id", "email", "name", "password_hash", "roles", "created_at")
        await session.execute(insert(User), [{name: getattr(row, name) for name in fields} for row in users])


async def page_of(session: Session, order: str, **request: Any) -> Page[User]:  # noqa: ANN401 - the fields of a PageRequest
    return await read_page(session, QUERY, ORDERS[order], PageRequest(**request))


def keys_of(page: Page[User]) -> list[UUID]:
    return [row.id for row in page.rows]


class Undone(Exception):
    """Ends a transaction that is not to be kept."""


@pytest.fixture(scope="module")
async def session(anyio_backend: str, database: Database) -> AsyncIterator[Session]:
    """One transaction for this module, which never becomes visible to others."""
    with suppress(Undone):
        async with database.transaction() as session:
            yield session
            raise Undone


class TestReadPage:
    @pytest.mark.parametrize("order", ORDERS)
    @settings(max_examples=30, deadline=None)
    @given(users=USERS, size=st.integers(1, 5))
    async def test_pages_forwards_are_the_list(
        self, session: Session, order: str, users: list[User], size: int
    ) -> None:
        await put(session, users)
        wanted = [row.id for row in in_order(users, order)]
        seen: list[UUID] = []
        after = None
        while True:
            page = await page_of(session, order, first=size, after=after)
            seen += keys_of(page)
            assert page.has_previous is (after is not None)
            assert page.has_next is (len(seen) < len(wanted))
            if not page.has_next:
                break
            after = page.cursors[-1]
        assert seen == wanted

    @pytest.mark.parametrize("order", ORDERS)
    @settings(max_examples=30, deadline=None)
    @given(users=USERS, size=st.integers(1, 5))
    async def test_pages_backwards_are_the_list(
        self, session: Session, order: str, users: list[User], size: int
    ) -> None:
        await put(session, users)
        wanted = [row.id for row in in_order(users, order)]
        seen: list[UUID] = []
        before = None
        while True:
            page = await page_of(session, order, last=size, before=before)
            seen = keys_of(page) + seen
            assert page.has_next is (before is not None)
            assert page.has_previous is (len(seen) < len(wanted))
            if not page.has_previous:
                break
            before = page.cursors[0]
        assert seen == wanted

    @settings(max_examples=40, deadline=None)
    @given(users=USERS.filter(len), places=st.tuples(INDEXES, INDEXES), size=st.integers(1, 12))
    async def test_between_two_cursors_lies_what_lies_between_two_places_of_the_list(
        self, session: Session, users: list[User], places: tuple[int, int], size: int
    ) -> None:
        await put(session, users)
        wanted = [row.id for row in in_order(users, "moment")]
        cursors = (await page_of(session, "moment")).cursors
        start, end = sorted(place % len(wanted) for place in places)
        between = wanted[start + 1 : end]
        forwards = await page_of(session, "moment", first=size, after=cursors[start], before=cursors[end])
        assert keys_of(forwards) == between[:size]
        assert forwards.has_next is (len(between) > size)
        backwards = await page_of(session, "moment", last=size, after=cursors[start], before=cursors[end])
        assert keys_of(backwards) == between[-size:]
        assert backwards.has_previous is (len(between) > size)

    @settings(max_examples=30, deadline=None)
    @given(
        users=USERS.filter(len),
        came=st.sets(INDEXES),
        gone=INDEXES,
        size=st.integers(1, 5),
        order=st.sampled_from(sorted(ORDERS)),
    )
    async def test_rows_that_come_and_go_shift_no_page(
        self, session: Session, users: list[User], came: set[int], gone: int, size: int, order: str
    ) -> None:
        staying = [row for index, row in enumerate(users) if index == 0 or index not in came]
        await put(session, staying)
        first = await page_of(session, order, first=size)
        gone_key = first.rows[gone % len(first.rows)].id
        await put(session, [row for row in users if row.id != gone_key])
        rest = await page_of(session, order, first=MAX_PAGE, after=first.cursors[-1])
        everything = [row.id for row in in_order(users, order)]
        later = everything[everything.index(first.rows[-1].id) + 1 :]
        assert keys_of(rest) == [key for key in later if key != gone_key]

        await put(session, staying)
        last = await page_of(session, order, last=size)
        gone_key = last.rows[gone % len(last.rows)].id
        await put(session, [row for row in users if row.id != gone_key])
        rest = await page_of(session, order, last=MAX_PAGE, before=last.cursors[0])
        earlier = everything[: everything.index(last.rows[0].id)]
        assert keys_of(rest) == [key for key in earlier if key != gone_key]

    async def test_a_page_has_25_rows_unless_a_number_is_asked_for(self, session: Session) -> None:
        await put(session, [user(UUID(int=number), START) for number in range(MAX_PAGE + 10)])
        assert len((await page_of(session, "moment")).rows) == DEFAULT_PAGE == 25
        assert len((await page_of(session, "moment", first=100)).rows) == 100
        assert len((await page_of(session, "moment", last=1)).rows) == 1
        assert await (await page_of(session, "moment")).count() == 110

    async def test_an_empty_list_has_an_empty_page(self, session: Session) -> None:
        await put(session, [])
        page = await page_of(session, "moment")
        assert (page.rows, page.cursors, page.has_next, page.has_previous) == ([], [], False, False)
        assert await page.count() == 0

    @pytest.mark.parametrize(
        ("request_", "path"),
        [
            ({"first": 0}, "first"),
            ({"first": -1}, "first"),
            ({"first": 101}, "first"),
            ({"last": 0}, "last"),
            ({"last": 101}, "last"),
            ({"first": 1, "last": 1}, "last"),
        ],
    )
    async def test_a_number_out_of_range_is_refused(
        self, session: Session, request_: dict[str, int], path: str
    ) -> None:
        with pytest.raises(Invalid) as refusal:
            await page_of(session, "moment", **request_)
        assert (refusal.value.code, refusal.value.path) == (ErrorCode.VALIDATION_FAILED, [path])

    @pytest.mark.parametrize("argument", ["after", "before"])
    @pytest.mark.parametrize(
        "values",
        [
            [],
            ["2026-01-02T03:04:05+00:00"],
            ["2026-01-02T03:04:05+00:00", "x"],
            ["2026-01-02T03:04:05", str(UUID(int=1))],
            ["0001-01-01T00:00:00+14:00", str(UUID(int=1))],
            ["yesterday", str(UUID(int=1))],
            [1, 2],
            [None, None],
            [{}, []],
            {"a": 1},
            1,
            None,
            "text",
        ],
        ids=repr,
    )
    async def test_values_of_another_list_are_refused(self, session: Session, argument: str, values: object) -> None:
        cursor = base64.urlsafe_b64encode(orjson.dumps(values)).decode()
        with pytest.raises(CursorInvalid, match="not a cursor of this list") as refusal:
            await page_of(session, "moment", **{argument: cursor})
        assert (refusal.value.code, refusal.value.path) == (ErrorCode.CURSOR_INVALID, [argument])

    @pytest.mark.parametrize("cursor", ["", "x", "é", "\ud800", "====", "AAAA", "a" * 100_001])
    async def test_garbage_is_refused(self, session: Session, cursor: str) -> None:
        with pytest.raises(CursorInvalid):
            await page_of(session, "moment", after=cursor)

    @settings(max_examples=50, deadline=None)
    @given(value=st.text())
    @example(value="a\x00b")
    async def test_any_text_is_a_position_or_refused(self, session: Session, value: str) -> None:
        cursor = base64.urlsafe_b64encode(orjson.dumps([value, str(UUID(int=5))])).decode()
        if "\x00" in value:
            with pytest.raises(CursorInvalid):
                await page_of(session, "name", after=cursor)
        else:
            await page_of(session, "name", after=cursor)

    @pytest.mark.parametrize("number", ["9" * 19, "-" + "9" * 19, "9" * 5000, "1.5", "x"])
    async def test_a_number_that_no_column_has_is_refused(self, session: Session, number: str) -> None:
        key = SortKey(column("size"), "size", int)
        cursor = base64.urlsafe_b64encode(orjson.dumps([number])).decode()
        with pytest.raises(CursorInvalid):
            await read_page(session, QUERY, (key,), PageRequest(after=cursor))
