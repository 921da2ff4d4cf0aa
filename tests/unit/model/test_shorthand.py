"""The AWS CLI's shorthand, and JSON in its place."""

import pytest

from bundler.errors import UsageError
from bundler.model.shorthand import MAX_DEPTH, MAX_LENGTH, parse_shorthand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name=state,Values=available", {"Name": "state", "Values": "available"}),
        ("Name=a,Values=b,c,d", {"Name": "a", "Values": ["b", "c", "d"]}),
        ("Values=b,c,Name=a", {"Values": ["b", "c"], "Name": "a"}),
        ("Name=tag:Stage/x-1,Values=b", {"Name": "tag:Stage/x-1", "Values": "b"}),
        ("A=[b,c],D={e=f,g=[h]}", {"A": ["b", "c"], "D": {"e": "f", "g": ["h"]}}),
        ("Add=[{UserId=1},{Group=all}]", {"Add": [{"UserId": "1"}, {"Group": "all"}]}),
        ("A=[],B={},C=[[x]]", {"A": [], "B": {}, "C": [["x"]]}),
        ("A=,B=''", {"A": "", "B": ""}),
        ("A=b,,c", {"A": ["b", "", "c"]}),
        ("A=[b,]", {"A": ["b"]}),
        ("A=b=c==,D=e", {"A": "b=c==", "D": "e"}),
        (r"A=b\,c", {"A": "b,c"}),
        (r"A=C:\dir", {"A": r"C:\dir"}),
        ("A='b,c=[]',D=\"e'f\"", {"A": "b,c=[]", "D": "e'f"}),
        (r"A='it\'s',B='\\'", {"A": "it's", "B": "\\"}),
        (" A = b c , d ,\n E = f ", {"A": ["b c", "d"], "E": "f"}),
        ("A=ä,日本", {"A": ["ä", "日本"]}),
        ('{"A": [1, true, null, "b"]}', {"A": [1, True, None, "b"]}),
        (' [{"A": {}}, 2.5]', [{"A": {}}, 2.5]),
    ],
)
def test_what_the_aws_cli_reads_is_read_alike(text: str, expected: object) -> None:
    assert parse_shorthand(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a key at character 1, got its end"),
        ("available", "expected '=' at character 10, got its end"),
        ("=a", "expected a key at character 1, got '='"),
        ("A=b,", "expected a value or a key at character 5, got its end"),
        ("A=[b", r"expected ',' at character 5, got its end"),
        ("A=[", r"expected '\]' at character 4, got its end"),
        ("A={b=c", "expected '}' at character 7, got its end"),
        ("A={b}", "expected '=' at character 5, got '}'"),
        ("A={b=c}d", "expected a comma at character 8, got 'd'"),
        ("A='b", "expected a closing quote at character 3"),
        ("A=b'c'", "expected a comma at character 4"),
        ("A=b]", r"expected a comma at character 4, got '\]'"),
        ("A=b,A=c", "the key 'A' is there twice"),
        ("A=" + "[" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} values"),
        ("A=" + "{a=" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} values"),
        ("A=" + "b" * MAX_LENGTH, f"at most {MAX_LENGTH} characters"),
        ('{"A": 1', "JSON .*: Expecting"),
        ('{"A": 1, "A": 2}', "the key 'A' is there twice"),
        ("[NaN]", "NaN is no number"),
        ("[" * 200_000, "too many values within each other"),
        ("[1" + "0" * 5000 + "]", "JSON"),
    ],
)
def test_what_is_malformed_is_told_where(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_shorthand(text)
