"""ami-bundler ami: the verbs of an AMI's life, a module each."""

VERBS: dict[str, str] = {
    "list": "list AMIs: whose, of which name, kind, state, tag or age",
}
"""Verbs and their summaries; each is a module of this package, imported when it is run."""
