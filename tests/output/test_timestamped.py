"""Export directories `dir/<seconds since 1970>`: atomic, with ten tries."""

import pytest

from specflow.diagnostics.errors import OutputError
from specflow.output.run.timestamped import timestamped


class Clock:
    """A clock that advances only by sleeping."""

    def __init__(self, seconds):
        self.seconds = seconds

    def now(self):
        return self.seconds + 0.5

    def sleep(self, seconds):
        self.seconds += seconds


def make(base, clock):
    with timestamped(base, now=clock.now, sleep=clock.sleep) as (temporary, final):
        assert temporary.name == f"temp-{final.name}"
        assert not final.exists()
        (temporary / "file").write_text("content")
    return final


def test_the_directory_has_ten_digits_and_no_temporary_one_remains(tmp_path):
    final = make(tmp_path / "deep" / "down", Clock(123_456_789))
    assert final.name == "0123456789"
    assert (final / "file").read_text() == "content"
    assert list(final.parent.iterdir()) == [final]


def test_a_taken_second_is_waited_for(tmp_path):
    clock = Clock(1_000_000_000)
    names = []
    for _ in range(3):
        clock.seconds = 1_000_000_000
        names.append(make(tmp_path, clock).name)
    assert names == ["1000000000", "1000000001", "1000000002"]


def test_a_second_with_a_temporary_directory_is_taken(tmp_path):
    (tmp_path / "temp-1000000000").mkdir()
    assert make(tmp_path, Clock(1_000_000_000)).name == "1000000001"
    assert (tmp_path / "temp-1000000000").exists()


def test_after_ten_taken_seconds_an_error_is_raised(tmp_path):
    for second in range(10):
        (tmp_path / str(1_000_000_000 + second)).mkdir()
    clock = Clock(1_000_000_000)
    with pytest.raises(OutputError) as error:
        make(tmp_path, clock)
    assert clock.seconds == 1_000_000_009
    assert str(error.value) == (
        f"{tmp_path}: 10 seconds in a row are taken, the last by 1000000009. Export to "
        "another directory, or one export at a time."
    )
    assert len(list(tmp_path.iterdir())) == 10


def test_a_failure_leaves_no_directory(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        timestamped(tmp_path) as (temporary, _),
    ):
        (temporary / "file").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.*cannot be written"):
        make(tmp_path / "file" / "below", Clock(1_000_000_000))
