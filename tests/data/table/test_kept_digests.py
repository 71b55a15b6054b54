"""Digests of large files are kept until the file may have changed."""

import functools
import os
import time

import pytest

from specflow.data.table import kept_digests
from specflow.runtime.file_digests import file_digest


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Paths that were read for their digest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_digests, "_LEAST", 4)
    paths = []

    def watched(path):
        paths.append(path)
        return file_digest(path)

    partial = functools.partial(kept_digests.kept_digest, read=watched)
    monkeypatch.setattr(kept_digests, "kept_digest", partial)
    return paths


def test_a_file_is_read_once_until_it_changes(tmp_path, read):
    path = tmp_path / "t.csv"
    path.write_text("12345")
    an_hour_ago = time.time() - 3_600
    os.utime(path, (an_hour_ago, an_hour_ago))
    digests = [kept_digests.kept_digest(path) for _ in range(3)]
    assert digests == [file_digest(path)] * 3
    assert read == [path]
    path.write_text("54321")
    assert kept_digests.kept_digest(path) == file_digest(path)
    assert len(read) == 2
    other = tmp_path / "u.csv"
    other.write_text("abcde")
    os.utime(other, (an_hour_ago, an_hour_ago))
    other.replace(path)  # Another inode, of the same size and time as the first.
    assert kept_digests.kept_digest(path) == file_digest(path)


def test_a_file_that_has_just_changed_is_read_again(tmp_path, read):
    path = tmp_path / "t.csv"
    path.write_text("12345")
    for _ in range(2):
        kept_digests.kept_digest(path)
    assert len(read) == 2


def test_a_damaged_cache_or_a_small_file_is_read(tmp_path, read):
    path = tmp_path / "t.csv"
    path.write_text("12345")
    os.utime(path, (1e9, 1e9))
    kept_digests.kept_digest(path)
    (kept,) = (tmp_path / "cache" / "specflow" / "digests").iterdir()
    kept.write_text("{")
    assert kept_digests.kept_digest(path) == file_digest(path)
    assert len(read) == 2
