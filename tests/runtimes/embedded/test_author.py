import json
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphql_api.kit.files import MAX_FILES
from graphql_api.runtimes.embedded.author import Work, work_for
from graphql_api.runtimes.embedded.request import key_of, read_request
from graphql_api.runtimes.protocol import RunRequest

REVIEWER = "Add a reviewer agent that checks every answer for tone"

TEAM = "Build a team with a planner, a writer and an editor"


def request(
    prompt: str, files: dict[str, str] | None = None, path: str | None = None, selection: str | None = None
) -> RunRequest:
    return RunRequest(UUID(int=1), prompt, path, selection, files or {})


def files_after(prompt: str, files: dict[str, str] | None = None, **context: str) -> dict[str, str]:
    return applied(work_for(request(prompt, files, **context)), files or {})


def applied(work: Work, files: dict[str, str]) -> dict[str, str]:
    result = dict(files)
    for task in work.tasks:
        assert result.get(task.path) == task.before
        if task.after is None:
            result.pop(task.path, None)
        else:
            result[task.path] = task.after
    return result


def is_kept(before: str, after: str) -> bool:
    """Tell whether all lines are still there, in order."""
    lines = iter([line.rstrip("\r") for line in after.split("\n")])
    return all(line.rstrip("\r") in lines for line in before.rstrip("\n").split("\n"))


class TestReadRequest:
    @pytest.mark.parametrize(
        ("prompt", "agents"),
        [
            (REVIEWER, [("Reviewer", "checks every answer for tone")]),
            ("Create a hello world agent", [("Hello World", None)]),
            ('Add an agent called "Chief Editor" that edits drafts.', [("Chief Editor", "edits drafts")]),
            ("Add agents: Planner and Fact Checker", [("Planner", None), ("Fact Checker", None)]),
            (TEAM, [("Planner", None), ("Writer", None), ("Editor", None)]),
            ("Add researcher, critic and writer agents", [("Researcher", None), ("Critic", None), ("Writer", None)]),
            ("Use a researcher and a critic agents", [("Researcher", None), ("Critic", None)]),
            ("Add an agent to verify claims", [("Verifier", "verifies claims")]),
            ("Add an agent that juggles", [("Assistant", "juggles")]),
            ("We need an agent for customer support", [("Customer Support", None)]),
            ("Add a bot agent that should not invent words", [("Bot", "does not invent words")]),
            ("Add a bot agent that must never be late", [("Bot", "never is late")]),
            ("Add a bot agent to fetch v1.2 files. Thanks", [("Bot", "fetches v1.2 files")]),
            ("Add a bot agent to apply rules", [("Bot", "applies rules")]),
            ("Make every agent answer in English", []),
            ("Answer as a reviewer would", []),
            ("Use three agents", []),
            ("Build a multi-agent workflow", []),
            ("The agent's tone is off", []),
        ],
    )
    def test_agents_are_found_by_simple_rules(self, prompt: str, agents: list[tuple[str, str | None]]) -> None:
        assert [(agent.name, agent.purpose) for agent in read_request(prompt).agents] == agents

    def test_an_agent_of_the_draft_is_found_without_the_word_agent(self) -> None:
        ask = read_request("Make the fact checker stricter than Writer", ["Fact Checker", "Writer"])
        assert [agent.name for agent in ask.agents] == ["Fact Checker", "Writer"]

    def test_markers_are_read_and_taken_out(self) -> None:
        ask = read_request("[slow] Add\x00 a [FAIL] writer")
        assert (ask.text, ask.is_slow, ask.is_failing) == ("Add a writer", True, True)

    def test_a_name_renamed_or_removed_is_not_added(self) -> None:
        ask = read_request("Rename the writer agent to Author, and remove agent Critic.")
        assert (ask.renames, ask.removals, ask.agents) == ((("Writer", "Author"),), ("Critic",), ())

    @pytest.mark.parametrize(
        ("name", "key"),
        [("Fact Checker", "fact_checker"), ("Prüfer", "prufer"), ("3D Artist", "agent_3d_artist"), ("O'Neil", "oneil")],
    )
    def test_a_key_is_lower_snake_case(self, name: str, key: str) -> None:
        assert key_of(name) == key

    def test_a_name_without_latin_letters_has_a_key_too(self) -> None:
        assert key_of("审稿人") != key_of("作者")
        assert key_of("审稿人").startswith("agent_")


class TestAnEmptyDraft:
    def test_it_gets_the_specification_the_cast_and_the_graph(self) -> None:
        assert set(files_after(REVIEWER)) == {
            "THE_SPEC/requirements.md",
            "THE_SPEC/plan.md",
            "THE_CAST/Orchestrator.md",
            "THE_CAST/Reviewer.md",
            "definition.json",
        }

    def test_the_graph_delegates_to_each_agent(self) -> None:
        root = json.loads(files_after(TEAM)["definition.json"])
        assert root["entry_point"] == "orchestrator"
        assert [(node["key"], node["type"]) for node in root["nodes"]] == [
            ("orchestrator", "orchestrator"),
            ("planner", "specialist"),
            ("writer", "specialist"),
            ("editor", "specialist"),
        ]
        assert root["edges"][0] == {
            "key": "orchestrator-planner",
            "source": "orchestrator",
            "target": "planner",
            "type": "delegates",
        }
        assert set(root["nodes"][1]) == {"key", "type", "name", "role", "system_prompt", "tools", "llm"}

    def test_without_a_name_it_gets_an_assistant(self) -> None:
        assert "THE_CAST/Assistant.md" in files_after("Answer questions about our shop")

    def test_a_prompt_of_markers_alone_sets_up_a_first_version(self) -> None:
        assert "## R1 · Set up a first version of this workflow\n" in files_after("[slow]")["THE_SPEC/requirements.md"]

    def test_markers_are_not_written(self) -> None:
        assert not [
            text for text in files_after(f"[slow] {REVIEWER} [fail]").values() if "[slow]" in text or "[fail]" in text
        ]


class TestIdempotence:
    @pytest.mark.parametrize(
        "prompt",
        [
            REVIEWER,
            TEAM,
            "Answer in English",
            f"{REVIEWER}. {'It is kind. ' * 300}",
            "Tell the orchestrator agent to be kind",
        ],
    )
    def test_the_same_prompt_again_changes_nothing(self, prompt: str) -> None:
        files = files_after(prompt)
        work = work_for(request(prompt, files))
        assert [task.path for task in work.tasks if task.is_change] == []
        assert "Nothing to do" in work.closing

    def test_the_same_request_gives_the_same_work(self) -> None:
        files = files_after(TEAM)
        assert work_for(request(REVIEWER, files)) == work_for(request(REVIEWER, dict(reversed(files.items()))))


class TestMarkdownEdits:
    def test_a_requirement_takes_the_next_number_in_the_style_of_the_file(self) -> None:
        before = "# Spec\n\n### REQ-007 Be fast\n\nReally.\n\n## Glossary\n\nFast: quick.\n"
        after = files_after(REVIEWER, {"THE_SPEC/requirements.md": before})["THE_SPEC/requirements.md"]
        assert "Really.\n\n### REQ-008 · Add a reviewer agent" in after
        assert after.endswith(
            "answer.\n- [ ] When something is missing, the answer says so instead of guessing.\n\n"
            "## Glossary\n\nFast: quick.\n"
        )

    def test_a_requirement_joins_a_numbered_list(self) -> None:
        before = "# Requirements\n\n1. Be fast.\n2. Be kind.\n   Always.\n\nThat is all.\n"
        after = files_after(REVIEWER, {"THE_SPEC/requirements.md": before})["THE_SPEC/requirements.md"]
        assert (
            "   Always.\n3. Add a reviewer agent that checks every answer for tone.\n   - [ ] **Reviewer** checks"
            in after
        )
        assert after.endswith("guessing.\n\nThat is all.\n")

    def test_a_heading_in_a_code_block_is_no_heading(self) -> None:
        before = "---\n# R9 front\n---\n# Requirements\n\n```\n## R5 not one\n```\n"
        after = files_after(REVIEWER, {"THE_SPEC/requirements.md": before})["THE_SPEC/requirements.md"]
        assert after.startswith(f"{before}\n## R1 · Add a reviewer")

    def test_line_ends_are_kept(self) -> None:
        before = "# Plan\r\n\r\n## Steps\r\n\r\n- Begin\r\n- Go on"
        after = files_after(REVIEWER, {"THE_SPEC/plan.md": before})["THE_SPEC/plan.md"]
        assert after.startswith(f"{before}\r\n- **R1 · Add a reviewer")
        assert after.count("\n") == after.count("\r\n")

    def test_the_lead_learns_of_a_new_agent_in_its_team_section(self) -> None:
        before = "# Orchestrator\n\n## Team\n\n* **Writer**: writes.\n\n## Style\n\nShort.\n"
        after = files_after(REVIEWER, {"THE_CAST/Orchestrator.md": before})["THE_CAST/Orchestrator.md"]
        assert after == before.replace("writes.\n", "writes.\n* **Reviewer**: checks every answer for tone.\n")

    def test_an_agent_that_exists_gets_one_more_duty(self) -> None:
        before = files_after(REVIEWER)
        after = files_after("Add a reviewer agent that checks the length", before)
        assert after["THE_CAST/Reviewer.md"] == before["THE_CAST/Reviewer.md"].replace(
            "guessing.\n", "guessing.\n- Checks the length.\n"
        )
        assert after["definition.json"] == before["definition.json"]

    def test_a_prompt_for_nobody_is_a_duty_of_the_lead(self) -> None:
        after = files_after("Answer in English", files_after(REVIEWER))
        assert "- Answer in English.\n" in after["THE_CAST/Orchestrator.md"]

    @settings(max_examples=60, deadline=None)
    @given(
        st.text(alphabet="ab #-*1.`>\n\r\t|", max_size=120),
        st.sampled_from([REVIEWER, TEAM, "Answer in English", "Tell the orchestrator agent to be kind"]),
        st.sampled_from(["THE_SPEC/requirements.md", "THE_SPEC/plan.md", "THE_CAST/Orchestrator.md", "notes.md"]),
        st.text(alphabet="ab #-*\n", max_size=10),
    )
    def test_every_line_of_a_file_is_kept(self, content: str, prompt: str, path: str, selection: str) -> None:
        if content.strip():
            after = files_after(prompt, {path: content}, path=path, selection=selection)
            assert is_kept(content, after[path])


class TestDefinitionEdits:
    def test_unknown_keys_order_and_indentation_are_kept(self) -> None:
        before = (
            '{\n    "x": [1,2],\n    "nodes": [{"key": "boss", "name": "Boss", "extra": 1e2}],\n'
            '    "edges": [],\n    "entry_point": "boss",\n    "name": "W"\n}\n'
        )
        after = files_after(REVIEWER, {"definition.json": before})["definition.json"]
        assert after.startswith(
            '{\n    "x": [1,2],\n    "nodes": [{"key": "boss", "name": "Boss", "extra": 1e2}, {"key": "reviewer"'
        )
        assert after.endswith('\n    ],\n    "entry_point": "boss",\n    "name": "W"\n}\n')
        assert json.loads(after)["edges"][0]["key"] == "boss-reviewer"

    def test_the_brief_of_the_entry_point_is_the_leads(self) -> None:
        definition = (
            '{"nodes": [{"key": "chief_editor", "name": "Chief Editor"}], "edges": [], "entry_point": "chief_editor"}'
        )
        after = files_after(REVIEWER, {"definition.json": definition})
        assert "**Reviewer**" in after["THE_CAST/Chief_Editor.md"]
        assert "THE_CAST/Orchestrator.md" not in after

    def test_the_brief_may_be_named_after_the_key(self) -> None:
        definition = '{"nodes": [{"key": "orchestrator", "name": "Lead"}], "edges": [], "entry_point": "orchestrator"}'
        files = {"definition.json": definition, "THE_CAST/Orchestrator.md": "# Lead\n"}
        assert "**Reviewer**" in files_after(REVIEWER, files)["THE_CAST/Orchestrator.md"]

    def test_what_is_added_is_like_what_is_there(self) -> None:
        before = {
            "entry_point": "a",
            "nodes": [{"key": "a", "llm": {"model": "m"}}, {"key": "b"}],
            "edges": [{"key": "a-b", "source": "a", "target": "b", "type": "delegation"}],
        }
        after = json.loads(files_after(REVIEWER, {"definition.json": json.dumps(before)})["definition.json"])
        assert (after["nodes"][-1]["llm"], after["edges"][-1]["type"]) == ({"model": "m"}, "delegation")

    def test_an_object_without_members_gets_them_all(self) -> None:
        after = json.loads(files_after(REVIEWER, {"definition.json": "{}"})["definition.json"])
        assert list(after) == ["name", "entry_point", "nodes", "edges"]

    def test_other_spellings_are_kept(self) -> None:
        before = (
            '{"entryPoint": "a", "nodes": [{"id": "a"}, {"id": "writer"}], '
            '"edges": [{"source": "a", "target": "writer"}]}'
        )
        after = json.loads(files_after(REVIEWER, {"definition.json": before})["definition.json"])
        assert list(after) == ["entryPoint", "nodes", "edges", "name"]
        assert [node.get("id") or node["key"] for node in after["nodes"]] == ["a", "writer", "reviewer"]
        renamed = json.loads(files_after("Rename agent A to B", {"definition.json": before})["definition.json"])
        assert (renamed["entryPoint"], renamed["nodes"][0]) == ("b", {"id": "b"})
        removed = json.loads(files_after("Remove agent Writer", {"definition.json": before})["definition.json"])
        assert (removed["nodes"], removed["edges"]) == ([{"id": "a"}], [])

    def test_an_edge_key_that_is_taken_gets_a_number(self) -> None:
        before = {
            "entry_point": "a",
            "nodes": [{"key": "a"}, {"key": "b"}],
            "edges": [{"key": "a-reviewer", "source": "a", "target": "b"}],
        }
        after = json.loads(files_after(REVIEWER, {"definition.json": json.dumps(before)})["definition.json"])
        assert [edge["key"] for edge in after["edges"]] == ["a-reviewer", "a-reviewer-2"]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("{", "it is not valid JSON"),
            ('{"a": NaN}', "it is not valid JSON"),
            ('{"a": 1, "a": 2}', "it is not valid JSON"),
            ("[" * 100_000, "it is not valid JSON"),
            ("[]", "it is not a JSON object"),
            ('{"nodes": {}}', "its `nodes` are not a list"),
            ('{"nodes": [{"name": "x"}]}', "its `nodes` do not all have a `key`"),
            ('{"edges": [3]}', "its `edges` do not all have a `source` and a `target`"),
            ('{"entry_point": 3}', "its `entry_point` is not the key of a node"),
        ],
    )
    def test_one_that_cannot_be_read_is_left_alone_and_said_so(self, text: str, reason: str) -> None:
        work = work_for(request(REVIEWER, {"definition.json": text}))
        assert applied(work, {"definition.json": text})["definition.json"] == text
        assert f"`definition.json`: left alone: {reason}." in work.closing
        assert (
            "- [ ] Update the graph in definition.json" in applied(work, {"definition.json": text})["THE_SPEC/plan.md"]
        )

    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6) | st.lists(st.none()), max_size=3),
        st.lists(st.sampled_from(["a", "b", "writer", "reviewer"]), unique=True),
        st.sampled_from([None, 1, 4, "\t"]),
        st.sampled_from([REVIEWER, TEAM, "Remove the writer agent", "Rename agent Writer to Author"]),
    )
    def test_it_stays_json_with_all_that_was_in_it(
        self, extra: dict[str, object], keys: list[str], indent: int | str | None, prompt: str
    ) -> None:
        before = {
            **extra,
            "entry_point": "a",
            "nodes": [{"key": key, "name": key.title(), "n": index} for index, key in enumerate(keys)],
            "edges": [{"source": "a", "target": key, "key": f"a-{key}"} for key in keys],
        }
        after = json.loads(
            files_after(prompt, {"definition.json": json.dumps(before, indent=indent)})["definition.json"]
        )
        known = {"entry_point", "nodes", "edges", "name"}
        assert {key: after[key] for key in extra if key not in known} == {
            key: value for key, value in extra.items() if key not in known
        }
        gone = {"writer"} if "writer" in keys and "Writer" in prompt.title() and prompt != TEAM else set()
        assert set(keys) - gone <= {node["key"] for node in after["nodes"]}
        assert gone.isdisjoint({node["key"] for node in after["nodes"]})


class TestRename:
    def test_the_brief_the_pages_and_the_graph_follow(self) -> None:
        before = files_after(REVIEWER) | {
            "THE_CAST/Chief_Reviewer.md": "# Chief Reviewer\n\nReviewer of the Reviewer.\n"
        }
        after = files_after("Rename agent Reviewer to Tone Auditor", before)
        assert "THE_CAST/Reviewer.md" not in after
        assert after["THE_CAST/Tone_Auditor.md"].startswith("# Tone Auditor\n")
        assert after["THE_CAST/Chief_Reviewer.md"] == "# Chief Reviewer\n\nTone Auditor of the Tone Auditor.\n"
        assert "- **Tone Auditor**: checks" in after["THE_CAST/Orchestrator.md"]
        root = json.loads(after["definition.json"])
        assert (root["nodes"][1]["key"], root["nodes"][1]["name"]) == ("tone_auditor", "Tone Auditor")
        assert root["nodes"][1]["system_prompt"].startswith("You are the Tone Auditor ")
        assert (root["edges"][0]["key"], root["edges"][0]["target"]) == ("orchestrator-tone_auditor", "tone_auditor")
        assert "THE_CAST/Tone_Auditor.md" in after["THE_SPEC/plan.md"]

    def test_the_lead_can_be_renamed(self) -> None:
        after = files_after("Rename the orchestrator agent to Chief", files_after(REVIEWER))
        assert json.loads(after["definition.json"])["entry_point"] == "chief"

    @pytest.mark.parametrize(
        ("prompt", "note"),
        [
            ("Rename agent Nobody to Someone", "there is no agent called **Nobody**"),
            ("Rename agent Reviewer to Orchestrator", "there is an agent called **Orchestrator** already"),
        ],
    )
    def test_what_cannot_be_renamed_stays(self, prompt: str, note: str) -> None:
        work = work_for(request(prompt, files_after(REVIEWER)))
        assert not any(task.is_change for task in work.tasks)
        assert note in work.closing


class TestRemove:
    def test_the_brief_the_lead_and_the_graph_let_go(self) -> None:
        before = files_after(TEAM)
        work = work_for(request("Remove the writer agent", before))
        after = applied(work, before)
        assert "THE_CAST/Writer.md" not in after
        assert "Writer" not in after["THE_CAST/Orchestrator.md"]
        root = json.loads(after["definition.json"])
        assert [node["key"] for node in root["nodes"]] == ["orchestrator", "planner", "editor"]
        assert [edge["target"] for edge in root["edges"]] == ["planner", "editor"]
        assert "`THE_SPEC/requirements.md`: still speaks of **Writer** in lines 10 and 12." in work.closing

    def test_the_last_specialist_can_go(self) -> None:
        root = json.loads(files_after("delete the Reviewer", files_after(REVIEWER))["definition.json"])
        assert ([node["key"] for node in root["nodes"]], root["edges"]) == (["orchestrator"], [])

    @pytest.mark.parametrize(
        ("prompt", "note"),
        [
            ("Remove agent Nobody", "there is no agent called **Nobody**"),
            ("Remove the orchestrator agent", "leads the workflow"),
        ],
    )
    def test_what_cannot_be_removed_stays(self, prompt: str, note: str) -> None:
        work = work_for(request(prompt, files_after(REVIEWER)))
        assert not any(task.is_change for task in work.tasks)
        assert note in work.closing


class TestContext:
    def test_the_request_lands_after_the_selected_item(self) -> None:
        before = "# Notes\n\n1. One\n   more\n2. Two\n"
        after = files_after("Answer in English", {"notes.md": before}, path="notes.md", selection="One")
        assert after["notes.md"] == "# Notes\n\n1. One\n   more\n2. Answer in English.\n2. Two\n"

    def test_the_request_lands_after_the_selected_paragraph(self) -> None:
        before = "# Notes\n\nOne\nmore\n\nTwo\n"
        after = files_after("Answer in English", {"notes.md": before}, path="notes.md", selection="One\nelse")
        assert after["notes.md"] == "# Notes\n\nOne\nmore\n\nAnswer in English.\n\nTwo\n"

    def test_without_a_selection_it_lands_at_the_end(self) -> None:
        assert files_after("Be kind", {"notes.txt": "One"}, path="notes.txt")["notes.txt"] == "One\n\nBe kind."

    def test_an_open_brief_is_the_agent_that_is_meant(self) -> None:
        files = files_after(REVIEWER)
        path = "THE_CAST/Reviewer.md"
        after = files_after("Be kind", files, path=path, selection="Checks every answer for tone.\n")
        assert "\n\nBe kind.\n\n## Responsibilities" in after[path]
        assert after["THE_CAST/Orchestrator.md"] == files["THE_CAST/Orchestrator.md"]

    def test_the_request_lands_at_the_end_of_a_selected_headings_list(self) -> None:
        before = "# Notes\n\n## List\n\n* One\n* Two\n\n## Rest\n"
        after = files_after("Be kind", {"notes.md": before}, path="notes.md", selection="## List")
        assert after["notes.md"] == before.replace("* Two\n", "* Two\n* Be kind.\n")

    @pytest.mark.parametrize(
        ("path", "note"), [("gone.md", "it is not in the draft"), ("main.py", "left alone: I edit Markdown")]
    )
    def test_what_cannot_be_edited_is_said(self, path: str, note: str) -> None:
        assert f"`{path}`: {note}" in work_for(request("Be kind", {"main.py": "1"}, path)).closing

    def test_a_note_is_left_once(self) -> None:
        files = files_after("Be kind", {"notes.md": "One\n"}, path="notes.md")
        assert files_after("Be kind", files, path="notes.md") == files


class TestLimits:
    def test_a_file_that_would_be_too_large_is_left_alone(self) -> None:
        files = {"THE_SPEC/plan.md": "x" * (1024 * 1024)}
        work = work_for(request(REVIEWER, files))
        assert applied(work, files)["THE_SPEC/plan.md"] == files["THE_SPEC/plan.md"]
        assert "left alone: A file has at most" in work.closing

    def test_a_full_draft_gets_no_more_files(self) -> None:
        files = {f"{number}.md": "" for number in range(MAX_FILES)}
        work = work_for(request(REVIEWER, files))
        assert applied(work, files) == files
        assert f"a draft has at most {MAX_FILES} files" in work.closing

    def test_a_path_in_other_letters_is_the_same_file(self) -> None:
        after = files_after(REVIEWER, {"the_spec/Requirements.md": "# Requirements\n"})
        assert "THE_SPEC/requirements.md" not in after
        assert "## R1" in after["the_spec/Requirements.md"]
