"""ami-bundler ami: the verbs of an AMI's life, a module each."""

VERBS: dict[str, str] = {
    "register": "register a bundle in S3 as an AMI, with all that EC2 knows of such AMIs",
    "copy": "copy an AMI within a region or to another one",
    "create": "make an EBS-backed AMI of an instance",
    "launch": "launch instances of an AMI",
    "deregister": "deregister an AMI, on request with its bundle or snapshots",
    "list": "list AMIs: whose, of which name, kind, state, tag or age",
    "show": "show everything of an AMI: who may launch it, and the bundle behind it",
    "share": "let accounts, organizations or everybody launch an AMI, or no longer",
    "tag": "set and remove an AMI's tags",
    "deprecate": "say from when on an AMI should not be used any more",
    "protect": "protect an AMI from being deregistered",
    "disable": "keep an AMI, but let nobody launch it",
    "enable": "let a disabled AMI be launched again",
}
"""Verbs and their summaries; each is a module of this package, imported when it is run."""
