from graphql_api.kit.errors import DomainError, ErrorCode, Forbidden, Invalid


def every_error(kind: type[DomainError] = DomainError) -> list[type[DomainError]]:
    return [found for child in kind.__subclasses__() for found in (child, *every_error(child))]


class TestDomainError:
    def test_every_error_has_a_code_and_no_two_have_the_same(self) -> None:
        codes = [kind.code for kind in every_error()]
        assert all(isinstance(code, ErrorCode) for code in codes)
        assert len(codes) == len(set(codes))

    def test_it_tells_what_is_wrong_and_where(self) -> None:
        error = Invalid("Too long.", path=("input", "name"))
        assert (str(error), error.message, error.path) == ("Too long.", "Too long.", ["input", "name"])
        assert Invalid("Too long.").path is None

    def test_a_refusal_names_the_role_that_may(self) -> None:
        assert Forbidden("No.", required_role="OWNER").required_role == "OWNER"
        assert Forbidden("No.").required_role is None


class TestErrorCode:
    def test_its_names_are_its_values(self) -> None:
        assert {code.name for code in ErrorCode} == {code.value for code in ErrorCode}
