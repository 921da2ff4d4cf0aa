"""--query: JMESPath, and what people see of what it finds."""

import pytest

from bundler.cli.query import answer_query, compile_query
from bundler.errors import UsageError

FACTS = {
    "Images": [
        {"ImageId": "ami-1", "Public": False, "Name": "a\x1b[2J"},
        {"ImageId": "ami-2", "Public": True},
    ],
    "count": 2,
}


def find(query: str) -> str:
    compiled = compile_query(query)
    assert compiled is not None
    return answer_query(compiled, query, FACTS).text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("Images[].ImageId", "ami-1\nami-2"),
        ("Images[].[ImageId, Public]", "ami-1\tfalse\nami-2\ttrue"),
        ("Images[?Public].ImageId | [0]", "ami-2"),
        ("Images[0].Name", "a?[2J"),
        ("count", "2"),
        ("Images[5]", "null"),
        ("Images[?Missing]", ""),
        (
            "Images[?Public]",
            '[\n  {\n    "ImageId": "ami-2",\n    "Public": true\n  }\n]',
        ),
        ("sort_by(Images, &ImageId)[-1].ImageId", "ami-2"),
    ],
)
def test_what_is_found_is_shown_as_lines(query: str, text: str) -> None:
    assert find(query) == text


@pytest.mark.parametrize(
    "query", ["Images[", "a b", '"', "\udcff", "nothing(a)", "[" * 5000, "!" * 5000]
)
def test_what_is_no_query_is_refused(query: str) -> None:
    with pytest.raises(UsageError, match="--query"):
        find(query)


def test_a_function_that_does_not_fit() -> None:
    with pytest.raises(UsageError, match=r"--query 'length\(count\)': .*invalid type"):
        find("length(count)")
