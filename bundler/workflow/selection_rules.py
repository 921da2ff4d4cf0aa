"""The rules by which files of a volume are chosen, from what the user says and our own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bundler.codec.name_rules import NAME_RULES
from bundler.codec.rsync_pattern import Pattern, PatternRule, RuleList
from bundler.errors import UsageError

Identity = tuple[int, int]
"""st_dev and st_ino."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRules:
    """What decides about each file, in this order; the first that has a say does."""

    identities: Mapping[Identity, str] = field(default_factory=dict)
    """Files that are never copied, and why; of directories the contents are not."""
    user: RuleList = field(default_factory=lambda: RuleList(()))
    """--include and --exclude, in their order; an include keeps whatever follows here."""
    names: RuleList = NAME_RULES
    looks_into_files: bool = True
    """Whether secrets are looked for by content."""
    empties: bool = True
    """Whether the machine-id is emptied."""


def user_rules(rules: Sequence[tuple[bool, bytes]]) -> RuleList:
    """Patterns of --include (true) and --exclude.

    Raises:
        UsageError: no pattern that rsync would take.
    """
    return RuleList(
        PatternRule(
            pattern=Pattern.compile(text),
            is_include=is_include,
            reason="" if is_include else f"--exclude {text.decode(errors='backslashreplace')}",
        )
        for is_include, text in rules
    )


def parse_filter_list(data: bytes, subject: str) -> RuleList:
    """Patterns of a file, one a line; lines that are empty or begin with # or ; say nothing.

    As in rsync's --exclude-from a line may begin with "+ " (include) or "- ".

    Raises:
        UsageError: a line is no pattern.
    """
    rules = list[PatternRule]()
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip() or line.startswith((b"#", b";")):
            continue
        text = line[2:] if line.startswith((b"+ ", b"- ")) else line
        try:
            pattern = Pattern.compile(text)
        except UsageError as error:
            raise UsageError(f"read {subject}, line {number}: {error}") from error
        rules.append(
            PatternRule(
                pattern=pattern,
                is_include=line.startswith(b"+ "),
                reason=f"{subject}: {text.decode(errors='backslashreplace')}",
            )
        )
    return RuleList(rules)
