import pytest

from bundler.model.file_name import parse_part_name, part_name


@pytest.mark.parametrize(
    ("index", "count", "expected"),
    [
        (0, 1, "image.part.0"),
        (8, 9, "image.part.8"),
        (0, 10, "image.part.00"),
        (9, 10, "image.part.09"),
        (98, 99, "image.part.98"),
        (0, 100, "image.part.000"),
        (99, 100, "image.part.099"),
        (1023, 1024, "image.part.1023"),
    ],
)
def test_index_has_as_many_digits_as_the_count(index: int, count: int, expected: str) -> None:
    assert part_name("image", index, count) == expected
    assert parse_part_name(expected) == ("image", index)


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (0, 0), (1, 1), (10, 10)])
def test_there_is_no_part_beyond_the_count(index: int, count: int) -> None:
    with pytest.raises(ValueError, match="there is no such part"):
        part_name("image", index, count)


@pytest.mark.parametrize(
    "name",
    [
        "image",
        "image.part.",
        ".part.0",
        "image.part.x",
        "image.part.-1",
        "image.part.1 ",
        "image.part.1\n",
        "image.part.\u0661",
        "image.part.0.manifest.xml",
        "image.part." + "1" * 5000,
    ],
)
def test_other_names_are_no_parts(name: str) -> None:
    assert parse_part_name(name) is None


def test_prefix_may_look_like_a_part_itself() -> None:
    assert parse_part_name("a.part.1.part.02") == ("a.part.1", 2)
