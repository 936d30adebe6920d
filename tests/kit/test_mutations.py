import asyncio

import pytest
import strawberry

from graphql_api.kit.errors import DomainError, Invalid, NotFound, Unauthenticated
from graphql_api.kit.mutations import ErrorsAsData
from graphql_api.kit.types import NotFoundError, UserError, ValidationError

NOTED: list[DomainError] = []


class ErrorsOnRecord(ErrorsAsData):
    async def note(self, info: strawberry.Info, error: DomainError) -> None:
        NOTED.append(error)


@strawberry.type
class Payload:
    thing: str | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


FAULTS: dict[str, Exception] = {
    "invalid": Invalid("The name is empty.", path=["input", "name"]),
    "absent": NotFound("There is no such thing."),
    "anonymous": Unauthenticated("Sign in first."),
    "broken": LookupError("unheard of"),
}


@strawberry.type
class Mutation:
    @strawberry.mutation(extensions=[ErrorsOnRecord(Payload)])
    async def change(self, fault: str) -> Payload:
        await asyncio.sleep(0)
        if fault in FAULTS:
            raise FAULTS[fault]
        return Payload(thing=fault)

    @strawberry.mutation(extensions=[ErrorsAsData(Payload)])
    async def change_unnoted(self, fault: str) -> Payload:
        await asyncio.sleep(0)
        raise FAULTS[fault]


@strawberry.type
class Query:
    nothing: str = ""


SCHEMA = strawberry.Schema(Query, Mutation, types=[ValidationError, NotFoundError])
CHANGE = "mutation($fault: String!) { change(fault: $fault) { thing errors { __typename code message path } } }"

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_notes() -> None:
    NOTED.clear()


class TestErrorsAsData:
    async def test_a_success_passes(self) -> None:
        result = await SCHEMA.execute(CHANGE, {"fault": "none"})

        assert result.data == {"change": {"thing": "none", "errors": []}}
        assert NOTED == []

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            (
                "invalid",
                {
                    "__typename": "ValidationError",
                    "code": "VALIDATION_FAILED",
                    "message": "The name is empty.",
                    "path": ["input", "name"],
                },
            ),
            (
                "absent",
                {
                    "__typename": "NotFoundError",
                    "code": "NOT_FOUND",
                    "message": "There is no such thing.",
                    "path": None,
                },
            ),
        ],
    )
    async def test_a_refusal_is_data_and_is_noted(self, fault: str, told: dict[str, object]) -> None:
        result = await SCHEMA.execute(CHANGE, {"fault": fault})

        assert (result.errors, result.data) == (None, {"change": {"thing": None, "errors": [told]}})
        (noted,) = NOTED
        assert noted is FAULTS[fault]

    @pytest.mark.parametrize("fault", ["anonymous", "broken"])
    async def test_what_the_caller_can_not_act_on_stays_an_error(self, fault: str) -> None:
        result = await SCHEMA.execute(CHANGE, {"fault": fault})

        assert result.errors is not None
        assert [error.original_error for error in result.errors] == [FAULTS[fault]]
        assert result.data is None

    async def test_without_a_record_nothing_is_noted(self) -> None:
        result = await SCHEMA.execute('mutation { changeUnnoted(fault: "absent") { errors { code } } }')

        assert result.data == {"changeUnnoted": {"errors": [{"code": "NOT_FOUND"}]}}

    def test_use_cases_are_coroutines(self) -> None:
        with pytest.raises(NotImplementedError):
            ErrorsAsData(Payload).resolve(lambda: None, None, None)  # type: ignore[arg-type] # nothing of it is looked at
