"""Our reading of include and exclude patterns against rsync's own."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from bundler.codec.rsync_pattern import Pattern, PatternRule, RuleList
from tests.support.tools import require_tool, use_tool

NAMES = (
    b"a",
    b"b",
    b"ab",
    b"a-b",
    b"a.b",
    b"A1",
    b"[x]",
    b"a*",
    b"b\\",
    b"\xff",
    b"x]",
    b"?",
    b".a",
)
PIECES = (
    *(
        b"a",
        b"b",
        b"ab",
        b".b",
        b"*",
        b"*",
        b"**",
        b"***",
        b"?",
        b"/",
        b"/",
        b"/",
        b"-",
        b"\\",
        b"]",
    ),
    *(b"[ab]", b"[!a]", b"[^b]", b"[a-c]", b"[]x]", b"[", b"[[:alpha:]]", b"[[:digit:]a]", b"[a-"),
    *(b"[\\]]", b"\\*", b"[a/b]", b"[[:nope:]]", b"[--9]", b"x", b"1", b"\xff", b"[\x80-\xff]"),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    generator = random.Random(5)
    directories = [os.fsencode(root)]
    for _ in range(40):
        path = generator.choice(directories) + b"/" + generator.choice(NAMES)
        if not os.path.lexists(path):
            os.mkdir(path)  # noqa: PTH102  a name in bytes
            directories.append(path)
    for _ in range(120):
        path = generator.choice(directories) + b"/" + generator.choice(NAMES)
        if not os.path.lexists(path):
            os.close(os.open(path, os.O_CREAT))
    return root


def taken_by_rsync(tree: Path, rules: Sequence[tuple[bool, bytes]]) -> list[bytes]:
    argv = ["rsync", "-n", "-r", "-8", "--out-format=%n"]
    for is_include, pattern in rules:
        argv += [os.fsdecode(b"--include=" if is_include else b"--exclude=") + os.fsdecode(pattern)]
    output = use_tool(*argv, f"{tree}/", f"{tree}.nowhere/")
    lines = output.splitlines()
    return sorted(
        line.rstrip(b"/") for line in lines if line not in (b"./", b"") and b"created" not in line
    )


def taken_by_us(tree: Path, rules: Sequence[tuple[bool, bytes]]) -> list[bytes]:
    compiled = RuleList(
        PatternRule(pattern=Pattern.compile(pattern), is_include=is_include)
        for is_include, pattern in rules
    )
    taken: list[bytes] = []

    def walk(directory: bytes) -> None:
        for entry in os.scandir(os.fsencode(tree) + b"/" + directory):
            path = directory + entry.name
            rule = compiled.find(path, is_directory=entry.is_dir())
            if rule is not None and not rule.is_include:
                continue
            taken.append(path)
            if entry.is_dir():
                walk(path + b"/")

    walk(b"")
    return sorted(taken)


def is_plain(pattern: bytes) -> bool:
    """Not one that rsync takes for something else: a prefix, or nothing."""
    return bool(pattern.strip(b"/")) and pattern[:2] not in (b"+ ", b"- ") and pattern != b"!"


@pytest.mark.parametrize("seed", range(2))
def test_random_rules_take_what_rsync_takes(tree: Path, seed: int) -> None:
    require_tool("rsync")
    generator = random.Random(seed)
    for _ in range(40):
        rules: list[tuple[bool, bytes]] = []
        while len(rules) < generator.randint(1, 4):
            pattern = b"".join(generator.choices(PIECES, k=generator.randint(1, 5)))
            if is_plain(pattern):
                rules.append((generator.random() < 0.4, pattern))
        assert taken_by_us(tree, rules) == taken_by_rsync(tree, rules), rules
