"""What the rule-based author reads in a prompt: which agents to add, change, rename or remove."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from graphql_api.runtimes.embedded.words import ARTICLES, IRREGULAR, NOUN_OF_VERB, ROLES, STOP, VERBS_IN_LY

NOTHING_ASKED = "Set up a first version of this workflow"
"""Stands in for a prompt without words."""

ASSISTANT = "Assistant"
"""Name of the agent that is added when neither the prompt nor the draft has one."""

_READ_CHARACTERS = 8_000
_MAX_NAME_WORDS = 3
_STRAIGHT = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}
_MARKER = re.compile(r"\[(slow|fail)\]", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_][\w'&+-]*")
_NAME = r"[\"']?(?P<{0}>[^\".,;:!?]{{1,60}}?)[\"']?"
_RENAME = re.compile(
    rf"\brename\s+(?:the\s+)?(?:agent\s+)?{_NAME.format('old')}(?:\s+agent)?"
    rf"\s+(?:to|into|as)\s+(?:the\s+)?{_NAME.format('new')}(?:\s+agent)?(?=\s*(?:[.,;:!?]|$|\band\b|\bthen\b))",
    re.IGNORECASE,
)
_REMOVE_VERB = r"\b(?:remove|delete|drop|get\s+rid\s+of)\s+(?:the\s+)?"
_REMOVE = re.compile(
    rf"{_REMOVE_VERB}(?:agent\s+(?:called\s+|named\s+)?{_NAME.format('after')}(?=\s*(?:[.,;:!?]|$|\band\b|\bthen\b))"
    rf"|{_NAME.format('before')}\s+agent\b(?!'s))",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"\bagents?\s*(?:called|named|:)\s*(?P<names>.+?)(?=\s+(?:that|who|which|to|for|with|so)\b|[.;!?](?:\s|$)|$)",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"[\"']?\s*,?\s*(?P<how>that|who|which|to)\s+(?P<what>[^.;!?]+(?:[.;!?](?=\S)[^.;!?]+)*)", re.IGNORECASE
)
_FIELD = re.compile(
    r"\s+for\s+(?:the\s+|our\s+)?([^.,;:!?]{1,60}?)(?=[.,;:!?]|$|\s+(?:that|who|which|to|and)\b)", re.IGNORECASE
)
_ADDITION = re.compile(
    r"(?:please\s+)?(?:(?:we|i)\s+(?:need|want)|add|build|create|include|introduce|make|set\s+up|use)\s+"
    r"(?:a|an|another|one|agents?|new)\b",
    re.IGNORECASE,
)
_MODAL = re.compile(r"^(?:should|must|can|will|shall|could|may|has to|needs to)\s+", re.IGNORECASE)
_LOOSE_END = re.compile(
    r"(?:[\s,;:]|\b(?:and|plus|also|then|with|a|an|the|another|new|add|create|introduce|include)\b)*$", re.IGNORECASE
)
_SEPARATOR = re.compile(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|&)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that a prompt speaks of.

    Attributes:
        name: As people write it, such as `Fact Checker`.
        purpose: What it does, in the third person: `checks every answer for tone`; None when the prompt doesn't say.
    """

    name: str
    purpose: str | None = None

    @property
    def key(self) -> str:
        """Name the agent as `definition.json` does."""
        return key_of(self.name)

    @property
    def usual_purpose(self) -> str:
        """Say what an agent of this name does when the prompt doesn't."""
        return ROLES.get(self.key.rpartition("_")[2], f"does the {self.name} work of this workflow")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a prompt asks for.

    Attributes:
        text: The prompt on one line, without its markers.
        agents: Those to add, or to change when they exist.
        renames: Old and new names.
        removals: Names of agents to remove.
        is_slow: Whether it wants half a minute of visible work.
        is_failing: Whether it wants to see a failure.
    """

    text: str
    agents: tuple[Agent, ...]
    renames: tuple[tuple[str, str], ...]
    removals: tuple[str, ...]
    is_slow: bool
    is_failing: bool

    @property
    def headline(self) -> str:
        """Give the first sentence, cut to the length of a heading."""
        first = re.split(r"(?<=[.!?])\s", self.text, maxsplit=1)[0]
        return shortened(first, 96).rstrip(".!,;: ")

    @property
    def is_addition(self) -> bool:
        """Tell whether it begins by adding somebody, so that it is no instruction for those who are there."""
        return _ADDITION.match(self.text) is not None

    @property
    def asks_for_more_than_names(self) -> bool:
        """Tell whether there is a requirement in it, beyond renaming and removing."""
        return bool(self.agents) or not (self.renames or self.removals)


def read_request(prompt: str, known: Sequence[str] = ()) -> Ask:
    """Read a prompt by fixed rules.

    Args:
        prompt: What the person wrote, with or without the markers `[slow]` and `[fail]`.
        known: Names of the agents that the draft has.
    """
    markers = {marker.casefold() for marker in _MARKER.findall(prompt)}
    text = _one_line(_MARKER.sub(" ", prompt)) or NOTHING_ASKED
    rest = text[:_READ_CHARACTERS].translate(_STRAIGHT)
    renames = tuple((named(match["old"]), named(match["new"])) for match in _RENAME.finditer(rest))
    rest = _RENAME.sub(_blank, rest)
    removals = tuple(named(match["after"] or match["before"]) for match in _REMOVE.finditer(rest))
    rest = _REMOVE.sub(_blank, rest)
    if known:
        remove_known = re.compile(rf"{_REMOVE_VERB}(?P<name>{_any_of(known)})(?![\w-])", re.IGNORECASE)
        removals += tuple(named(match["name"]) for match in remove_known.finditer(rest))
        rest = remove_known.sub(_blank, rest)
    return Ask(text, _agents(rest, known), renames, removals, "slow" in markers, "fail" in markers)


def key_of(name: str) -> str:
    """Make the lower-snake-case key of an agent's name: `Fact Checker` is `fact_checker`."""
    plain = unicodedata.normalize("NFKD", name.replace("'", "")).encode("ascii", "ignore").decode()
    key = "_".join(re.findall(r"[a-z0-9]+", plain.lower()))
    if not key:
        return f"agent_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return key if key[0].isalpha() else f"agent_{key}"


def named(words: str) -> str:
    """Write a name as names are written: `fact checker` is `Fact Checker`, `FAQ bot` is `FAQ Bot`."""
    return " ".join(
        "-".join(part[:1].upper() + part[1:] for part in word.split("-")) for word in words.strip(" \"'_").split()
    )


def shortened(text: str, length: int) -> str:
    """Cut a text at a word so that it has at most `length` characters."""
    if len(text) <= length:
        return text
    return text[: length - 1].rpartition(" ")[0].rstrip(",;: ") + "…" if " " in text[: length - 1] else text[:length]


def any_name(names: Iterable[str]) -> re.Pattern[str]:
    """Match whole names as they are written, the longest first: `Chief Editor` is not `Editor`."""
    return re.compile(rf"(?<![\w-])(?:{_any_of(names)})(?![\w-])")


def _any_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(set(names), key=lambda name: (-len(name), name)))


def _one_line(text: str) -> str:
    kept = "".join(
        character if character.isspace() or unicodedata.category(character) not in {"Cc", "Cs"} else " "
        for character in text
    )
    return " ".join(kept.split())


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _agents(text: str, known: Sequence[str]) -> tuple[Agent, ...]:
    """List the agents that a text names, in its order, each once."""
    mentions = sorted({*_called(text), *_before_the_word(text), *_roles(text), *_known(text, known)})
    found: dict[str, Agent] = {}
    for index, (_, end, name) in enumerate(mentions):
        later = [other for other, _, _ in mentions[index + 1 :] if other >= end]
        purpose = _purpose(text[end : min(later, default=len(text))])
        called = name or _name_for(purpose, text[end:])
        if called is not None and found.get(key_of(called), Agent("")).purpose is None:
            found[key_of(called)] = Agent(_as_known(called, known), purpose)
    return tuple(found.values())


def _as_known(name: str, known: Sequence[str]) -> str:
    return next((other for other in known if key_of(other) == key_of(name)), name)


def _called(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _CALLED.finditer(text):
        for part in _SEPARATOR.split(match["names"]):
            words = [word for word in _TOKEN.findall(part) if word.casefold() not in ARTICLES | {"the"}]
            if 0 < len(words) <= _MAX_NAME_WORDS and not set(map(str.casefold, words)) <= STOP:
                yield text.index(part, match.start("names")), match.end(), named(" ".join(words))


def _before_the_word(text: str) -> Iterator[tuple[int, int, str]]:
    """Find `X agent`, `X, Y and Z agents`, and `an agent that …`, whose name is empty here."""
    tokens = list(_TOKEN.finditer(text))
    for index, token in enumerate(tokens):
        word = token[0].casefold()
        if word == "agent" and not text.startswith("'", token.end()):
            words = _words_before(text, tokens[:index])
            if words:
                yield words[0].start(), token.end(), named(" ".join(word[0] for word in words))
            elif index and tokens[index - 1][0].casefold() in ARTICLES and not _CALLED.match(text, token.start()):
                yield token.start(), token.end(), ""
        elif word == "agents":
            yield from _several(text, tokens[:index], token.end())


def _several(text: str, tokens: list[re.Match[str]], end: int) -> Iterator[tuple[int, int, str]]:
    while words := _words_before(text, tokens):
        yield words[0].start(), end, named(" ".join(word[0] for word in words))
        tokens = tokens[: -len(words)]
        while tokens and tokens[-1][0].casefold() in ARTICLES:
            tokens = tokens[:-1]
        if tokens and tokens[-1][0].casefold() == "and":
            tokens = tokens[:-1]
        elif not tokens or "," not in text[tokens[-1].end() : words[0].start()]:
            return


def _words_before(text: str, tokens: list[re.Match[str]]) -> list[re.Match[str]]:
    words: list[re.Match[str]] = []
    for token in reversed(tokens[-_MAX_NAME_WORDS:]):
        gap = text[token.end() : words[0].start()] if words else ""
        if token[0].casefold() in STOP or gap.strip(" \"'"):
            break
        words.insert(0, token)
    return words


def _roles(text: str) -> Iterator[tuple[int, int, str]]:
    """Find `a reviewer`, `another fact checker`: a known role after an article, without the word agent."""
    tokens = list(_TOKEN.finditer(text))
    for index, token in enumerate(tokens):
        if token[0].casefold() not in ROLES or _follows_agent(tokens, index):
            continue
        words = _words_before(text, tokens[: index + 1])
        first = index + 1 - len(words)
        if first and tokens[first - 1][0].casefold() in ARTICLES and not _is_comparison(tokens, first - 1):
            yield tokens[first].start(), token.end(), named(" ".join(word[0] for word in words))


def _follows_agent(tokens: list[re.Match[str]], index: int) -> bool:
    return any(token[0].casefold() in {"agent", "agents"} for token in tokens[index + 1 : index + 2])


def _is_comparison(tokens: list[re.Match[str]], article: int) -> bool:
    return article > 0 and tokens[article - 1][0].casefold() in {"as", "like", "by"}


def _known(text: str, known: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    if known:
        either = [*known, *(f"the {name}".lower() for name in known)]
        for match in any_name(either).finditer(text):
            yield match.start(), match.end(), named(match[0].removeprefix("the "))


def _purpose(text: str) -> str | None:
    match = _PURPOSE.match(text)
    what = _LOOSE_END.sub("", match["what"]) if match else ""
    if match is None or not what:
        return None
    bare = _MODAL.sub("", what)
    return shortened(_third_person(bare) if match["how"].casefold() == "to" or bare != what else what, 300)


def _third_person(phrase: str) -> str:
    verb, _, rest = phrase.partition(" ")
    if verb.casefold() == "not":
        return f"does not {rest}"
    if verb.casefold() in {"never", "always", "only", "also"} or (verb.endswith("ly") and verb not in VERBS_IN_LY):
        return f"{verb} {_third_person(rest)}"
    if verb in IRREGULAR:
        verb = IRREGULAR[verb]
    elif re.search(r"[^aeiou]y$", verb):
        verb = f"{verb[:-1]}ies"
    else:
        verb += "es" if re.search(r"(?:s|x|z|ch|sh)$", verb) else "s"
    return f"{verb} {rest}".strip()


def _name_for(purpose: str | None, following: str) -> str | None:
    """Find a name for `an agent that checks facts` or `an agent for customer support`."""
    if purpose is not None:
        return NOUN_OF_VERB.get(purpose.split()[0].casefold(), ASSISTANT)
    match = _FIELD.match(following)
    words = match[1].split() if match else []
    return named(" ".join(words)) if 0 < len(words) <= _MAX_NAME_WORDS else None
