"""ami-bundler ami: the verbs of an AMI's life, a module each."""

VERBS: dict[str, str] = {
    "register": "register a bundle in S3 as an AMI, with all that EC2 knows of such AMIs",
    "list": "list AMIs: whose, of which name, kind, state, tag or age",
}
"""Verbs and their summaries; each is a module of this package, imported when it is run."""
