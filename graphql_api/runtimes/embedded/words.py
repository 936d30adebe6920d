"""The words that the rule-based author knows."""

_STOP_WORDS = """
the this that these those each every any some all no other more second third single simple separate existing two
three four five several multiple few our my your their its his her i we you me us it they them add adds create make
build introduce include insert need needs want wants use uses give let have has get write design change update
improve extend remove delete drop rename tell ask teach set define provide put be is are was for with of to by from
in on at as into and or but then also plus please which who when if so ai llm sub multi should must can will called
named like between
"""

ARTICLES = frozenset({"a", "an", "another", "new", "one"})
"""Words that announce somebody new."""

STOP = ARTICLES | frozenset(_STOP_WORDS.split())
"""Words that no agent's name holds."""

ROLES = {
    "analyst": "analyses the findings and explains what they mean",
    "architect": "designs the structure before anybody builds it",
    "checker": "checks every result against the requirements",
    "classifier": "sorts every request into its kind",
    "coder": "writes the code",
    "critic": "looks for the weak points of every result",
    "designer": "designs what people will see",
    "developer": "writes the code",
    "editor": "edits every draft until it reads well",
    "greeter": "greets whoever arrives",
    "moderator": "keeps unsuitable content out",
    "planner": "splits the work into steps",
    "programmer": "writes the code",
    "proofreader": "corrects spelling and grammar",
    "researcher": "gathers facts and names their sources",
    "reviewer": "reviews every result before it is handed over",
    "router": "sends every request to where it belongs",
    "scheduler": "decides what is done when",
    "summariser": "sums up long texts",
    "summarizer": "sums up long texts",
    "tester": "tries every result and reports what fails",
    "translator": "translates texts and keeps their meaning",
    "tutor": "explains a subject step by step",
    "validator": "validates every result against its rules",
    "verifier": "verifies every claim against its source",
    "writer": "writes the drafts",
}
"""What somebody of that name usually does."""

NOUN_OF_VERB = {
    "analyses": "Analyst",
    "analyzes": "Analyst",
    "answers": "Responder",
    "checks": "Checker",
    "classifies": "Classifier",
    "collects": "Collector",
    "corrects": "Proofreader",
    "designs": "Designer",
    "edits": "Editor",
    "explains": "Explainer",
    "extracts": "Extractor",
    "finds": "Finder",
    "gathers": "Researcher",
    "greets": "Greeter",
    "moderates": "Moderator",
    "monitors": "Monitor",
    "plans": "Planner",
    "proofreads": "Proofreader",
    "researches": "Researcher",
    "reviews": "Reviewer",
    "routes": "Router",
    "schedules": "Scheduler",
    "searches": "Searcher",
    "sends": "Sender",
    "summarises": "Summariser",
    "summarizes": "Summarizer",
    "teaches": "Teacher",
    "tests": "Tester",
    "translates": "Translator",
    "validates": "Validator",
    "verifies": "Verifier",
    "watches": "Monitor",
    "writes": "Writer",
}
"""The name of an agent that is only described: `an agent that checks facts`."""

IRREGULAR = {"be": "is", "have": "has", "do": "does", "go": "goes"}
"""Third persons that follow no rule."""

VERBS_IN_LY = frozenset({"apply", "comply", "fly", "multiply", "rely", "reply", "supply"})
"""Verbs that look like adverbs."""
