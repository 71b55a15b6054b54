"""The hash of hash buckets is FarmHash's, as its C++ library and TensorFlow have it."""

import json
from pathlib import Path

import pytest

from specflow.columns.fingerprint64 import bucket_of, fingerprint64

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "farmhash_fingerprints.json").read_text(encoding="utf-8"))
"""Text -> fingerprint, by pyfarmhash 0.3.2: lengths on both sides of every branch."""
CASES = json.loads((HERE / "feature_columns.json").read_text(encoding="utf-8"))["cases"]
BUCKETS = [case for case in CASES if "strings" in case]
"""Recorded on TensorFlow 2.15.1."""


def test_fingerprints_are_those_of_the_c_library():
    assert max(len(text.encode()) for text in RECORDED) > 128
    computed = {text: str(fingerprint64(text.encode())) for text in RECORDED}
    assert computed == RECORDED


@pytest.mark.parametrize("case", BUCKETS, ids=[case["name"] for case in BUCKETS])
def test_buckets_are_those_of_tensorflow(case):
    buckets = {"2**31": 2**31, "100": 100}[case["name"].split()[-1]]
    assert [bucket_of(text, buckets) for text in case["strings"]] == case["ids"]
