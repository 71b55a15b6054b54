"""Globs over dotted paths, against a definition by recursion."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.runtime.globs import matches


def covers(pattern: list[str], path: list[str]) -> bool:
    """The definition: `**` takes any number of names, others one by fnmatch."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(covers(pattern[1:], path[n:]) for n in range(len(path) + 1))
    return (
        bool(path)
        and fnmatchcase(path[0], pattern[0])
        and covers(pattern[1:], path[1:])
    )


NAMES = st.sampled_from(["a", "b", "ab", "0"])


@given(
    pattern=st.lists(st.sampled_from(["a", "ab", "*", "a*", "**"]), min_size=1),
    path=st.lists(NAMES, min_size=1, max_size=5),
)
def test_a_glob_covers_what_its_definition_covers(pattern, path):
    assert matches(".".join(pattern), ".".join(path)) == covers(pattern, path)


@given(path=st.lists(NAMES, min_size=1).map(".".join))
def test_a_path_covers_itself_and_two_stars_cover_everything(path):
    assert matches(path, path)
    assert matches("**", path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("kernel", "xkernel"), ("a.b", "a.b.c"), ("a.b", "axb"), ("a.*", "a."), ("", "a")],
)
def test_dots_and_ends_are_taken_literally(pattern, path):
    assert not matches(pattern, path)
