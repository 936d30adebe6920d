from uuid import UUID

import pytest
from sqlalchemy import Text, func, literal
from sqlmodel import col, delete

from graphql_api.authoring.models import AccessRole, WorkflowMember
from graphql_api.identity.models import User
from graphql_api.kit.columns import among, columns_of, now, select_rows
from graphql_api.kit.database import Database
from graphql_api.kit.prepared import Prepared, prepared, prepared_together

pytestmark = pytest.mark.anyio

ADA, BOB = (UUID(int=number) for number in (71, 72))
_user, _member = columns_of(User), columns_of(WorkflowMember)

USERS = select_rows(_user.id, _user.name, _user.roles).where(among(_user.id)).order_by(_user.name)
NAMES = select_rows(_user.id, func.upper(_user.name, type_=Text).label("loud")).where(
    among(_user.id), _user.name != "nobody"
)
ROLES = select_rows(literal(AccessRole.EDITOR, _member.role.type).label("role"), func.now().label("at"))


@pytest.fixture
async def people(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(delete(User).where(col(User.id).in_([ADA, BOB])))
        for key, name in ((ADA, "Ada"), (BOB, "Bob")):
            email = f"{name.lower()}@statements.example.com"
            session.add(User(id=key, email=email, name=name, password_hash="-", created_at=now()))


class TestOne:
    async def test_gives_rows_with_their_columns_as_attributes(self, database: Database, people: None) -> None:
        rows = await database.rows(USERS, ids=[BOB, ADA])
        assert [(row.id, row.name, row.roles) for row in rows] == [(ADA, "Ada", ["USER"]), (BOB, "Bob", ["USER"])]
        assert tuple(rows[0]) == (ADA, "Ada", ["USER"])

    async def test_values_are_written_and_read_as_their_columns_have_them(self, database: Database) -> None:
        ((role, at),) = await database.rows(ROLES)
        assert role is AccessRole.EDITOR
        assert at.tzinfo is not None

    async def test_is_put_into_words_once(self) -> None:
        assert prepared(USERS) is prepared(USERS)

    async def test_a_value_that_is_missing_is_told_before_anything_is_sent(self, database: Database) -> None:
        with pytest.raises(KeyError, match="ids"):
            await database.rows(USERS)

    def test_what_it_has_no_parameter_for_is_left_out(self) -> None:
        assert Prepared(USERS).arguments({"ids": [ADA], "other": 1}) == [[ADA]]


class TestSeveral:
    async def test_each_gives_its_own_rows(self, database: Database, people: None) -> None:
        users, roles, names = await database.rows_together(
            [USERS, ROLES, NAMES], [{"ids": [ADA, BOB]}, {}, {"ids": [BOB]}]
        )
        assert sorted((row.id, row.name, row.roles) for row in users) == [
            (ADA, "Ada", ["USER"]),
            (BOB, "Bob", ["USER"]),
        ]
        assert [row.role for row in roles] == [AccessRole.EDITOR]
        assert [(row.id, row.loud) for row in names] == [(BOB, "BOB")]

    async def test_one_without_rows_gives_none(self, database: Database, people: None) -> None:
        users, names = await database.rows_together([USERS, NAMES], [{"ids": []}, {"ids": [ADA]}])
        assert (users, [row.loud for row in names]) == ([], ["ADA"])

    async def test_the_same_may_come_twice(self, database: Database, people: None) -> None:
        first, second = await database.rows_together([USERS, USERS], [{"ids": [ADA]}, {"ids": [BOB]}])
        assert ([row.id for row in first], [row.id for row in second]) == ([ADA], [BOB])

    async def test_are_put_into_words_once(self) -> None:
        assert prepared_together((USERS, NAMES)) is prepared_together((USERS, NAMES))

    async def test_one_alone_is_as_it_is(self, database: Database, people: None) -> None:
        (users,) = await database.rows_together([USERS], [{"ids": [BOB, ADA]}])
        assert [row.name for row in users] == ["Ada", "Bob"]
