from graphql_api.runtimes.normalizing.plans import Plan


def items(plan: Plan, todos: object) -> list[list[tuple[str, str]]]:
    return [[(item["content"], item["status"]) for item in event.payload["items"]] for event in plan.update(todos)]


class TestUpdate:
    def test_a_changed_plan_is_told(self) -> None:
        plan = Plan()

        assert items(plan, [{"content": "a", "status": "in_progress"}, {"content": "b", "status": "pending"}]) == [
            [("a", "IN_PROGRESS"), ("b", "PENDING")]
        ]
        assert items(plan, [{"content": "a", "status": "completed"}, {"content": "b", "status": "pending"}]) == [
            [("a", "COMPLETED"), ("b", "PENDING")]
        ]

    def test_the_same_plan_is_told_once(self) -> None:
        plan = Plan()
        list(plan.update([{"content": "a", "status": "pending"}]))

        assert items(plan, [{"content": "a", "status": "pending", "id": 1}]) == []

    def test_no_plan_is_nothing_new(self) -> None:
        assert items(Plan(), []) == items(Plan(), None) == items(Plan(), "x") == []

    def test_an_emptied_plan_is_told(self) -> None:
        plan = Plan()
        list(plan.update(["a"]))

        assert items(plan, []) == [[]]

    def test_items_of_another_shape_are_still_items(self) -> None:
        todos = ["a", {"description": "b", "status": "DONE"}, {"content": 5, "status": "?"}, None]

        assert items(Plan(), todos) == [[("a", "PENDING"), ("b", "COMPLETED"), ("", "PENDING"), ("", "PENDING")]]
