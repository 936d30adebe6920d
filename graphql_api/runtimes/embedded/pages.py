"""The pages that the rule-based author writes, and what it says of its work."""

from collections.abc import Sequence

from graphql_api.runtimes.embedded.definition import NewNode
from graphql_api.runtimes.embedded.request import Agent, Ask, key_of, shortened

REQUIREMENTS_PAGE = """\
# Requirements

What this workflow must do, and how to tell that it does.
"""

PLAN_PAGE = """\
# Plan

How the requirements become true, one step after the other.

## Steps
"""

LEAD_ROLE = "Takes every request, decides who works on it, and answers with what came back."


def sentence(words: str) -> str:
    """Write words as a sentence: a capital first, a full stop last."""
    text = words.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def listed(names: Sequence[str]) -> str:
    """Join names as people do: `A, B and C`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def purpose_of(agent: Agent) -> str:
    """Say what an agent does, by the prompt or by its name."""
    return agent.purpose or agent.usual_purpose


def cast_page(agent: Agent, lead: str) -> str:
    """Write the brief of a specialist."""
    purpose = sentence(purpose_of(agent))
    return f"""\
# {agent.name}

{purpose}

## Responsibilities

- {purpose}
- Works on what **{lead}** hands over, and on nothing else.
- Says so when something is missing or can't be done, instead of guessing.

## Works with

- **{lead}**: hands over the work, and gets the result with the reasons for it.

## Done when

- The result covers everything that was handed over.
- Every finding names the place that it is about.
"""


def lead_page(name: str) -> str:
    """Write the brief of the agent that delegates."""
    return f"""\
# {name}

{LEAD_ROLE}

## Responsibilities

- Reads the whole request before anything else, and asks back when it is unclear.
- Hands each piece of work to the specialist whose brief fits it.
- Compares the results with `THE_SPEC/requirements.md` before it answers.

## Delegates to

## Done when

- Every part of the request has a result, or a reason why there is none.
"""


def lead_node(key: str, name: str) -> NewNode:
    """Describe the node of the agent that delegates."""
    prompt = (
        f"You are the {name} of this workflow. Read the whole request first and ask back when it is unclear. Hand each "
        "piece of work to the specialist whose brief fits it. Compare the results with the requirements before you "
        "answer, and say what is missing."
    )
    return NewNode(key, name, "orchestrator", LEAD_ROLE, prompt)


def specialist_node(agent: Agent, lead: str) -> NewNode:
    """Describe the node of a specialist."""
    purpose = purpose_of(agent)
    prompt = (
        f"You are the {agent.name} of this workflow: the specialist that {purpose.rstrip('.')}. Work only on what the "
        f"{lead} hands you. Return your result with the reasons for it. Say so when something is missing or can't be "
        "done; never guess."
    )
    return NewNode(agent.key, agent.name, "specialist", sentence(purpose), prompt)


def criteria_of(ask: Ask, lead: str) -> list[str]:
    """Derive acceptance criteria from the wording of a prompt."""
    agents = [agent for agent in ask.agents if key_of(lead) != agent.key]
    criteria = [f"**{agent.name}** {purpose_of(agent).rstrip('.')}." for agent in ask.agents]
    if agents:
        names = listed([f"**{agent.name}**" for agent in agents])
        criteria.append(f"**{lead}** hands work to {names}, and uses what comes back in its answer.")
    else:
        criteria.append("A run on a typical request shows it, without anybody stepping in.")
    criteria.append("When something is missing, the answer says so instead of guessing.")
    return criteria


def introduction(ask: Ask, lead: str, file_count: int) -> str:
    """Say who is speaking, and what was understood."""
    understood = [f"**{agent.name}** — {purpose_of(agent).rstrip('.')}" for agent in ask.agents]
    understood += [f"**{old}** is to be called **{new}**" for old, new in ask.renames]
    understood += [f"**{name}** is to go" for name in ask.removals]
    if not understood:
        understood = [f"no agent by name, so this is a requirement for the whole workflow, led by **{lead}**"]
    start = (
        f"The draft has {counted(file_count, 'file')}." if file_count else "The draft is empty, so I begin with it all."
    )
    return (
        "I am the built-in author: I follow fixed rules and ask no language model. "
        f"In “{shortened(ask.text, 160)}” I read:\n\n" + "\n".join(f"- {line}" for line in understood) + f"\n\n{start}"
    )


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
