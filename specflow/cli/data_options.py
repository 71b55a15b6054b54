"""Options of `data show`, `data stats`, `data check` and `data synthesize`."""

import argparse

from specflow.cli.options import CONFIG_DIR, REPORT, Option

__all__ = ["CHECKING_DATA", "SHOWING_DATA", "STATISTICS", "SYNTHESIZING"]


def _rows(text: str) -> tuple[int, int]:
    """First row and the one behind the last, of `N` or `A:B`."""
    first, colon, stop = text.partition(":")
    first, stop = (first, stop) if colon else ("0", first)
    digits = all(part.isascii() and part.isdigit() for part in (first, stop))
    if digits and int(first) < int(stop):
        return int(first), int(stop)
    expected = "a number of rows, or A:B for the rows from A on and before B"
    raise argparse.ArgumentTypeError(f"got {text!r}. Expected {expected}")


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}. Expected a whole number above 0")


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}. Expected a whole number from 0")


_EXPERIMENT = Option(
    "overrides",
    nargs="*",
    metavar="override",
    help="the experiment, or run=DIR for the data of a run with its fitted columns",
)
_JSON = Option(
    "--json",
    dest="report",
    action="store_const",
    const="json",
    help="the same as --format json",
)
_COMMON = (_EXPERIMENT, CONFIG_DIR, REPORT, _JSON)
_PAGE = Option(
    "--output",
    files=True,
    metavar="FILE",
    help="also write one HTML page: checks, statistics, distributions and rows",
)
SHOWING_DATA = (
    *_COMMON,
    Option(
        "--split",
        metavar="{train,eval,test,SET}",
        default="train",
        help="split of the data, or the name of an evaluation set; train by default",
    ),
    Option(
        "--rows",
        type=_rows,
        default=(0, 5),
        metavar="N",
        help="number of rows, or A:B for the rows from A on and before B; 5 by default",
    ),
    Option(
        "--epochs",
        type=_positive,
        default=0,
        metavar="N",
        help="show each training row as augmented in the first N epochs",
    ),
)
STATISTICS = (
    *_COMMON,
    Option(
        "--split",
        metavar="{train,eval,test,SET}",
        help="only this split or evaluation set; train and eval by default",
    ),
    _PAGE,
)
CHECKING_DATA = (*_COMMON, _PAGE)
SYNTHESIZING = (
    *_COMMON,
    Option(
        "--output",
        files=True,
        required=True,
        metavar="FILE",
        help="file to write: .csv, .tsv, .jsonl, .parquet or .arrow",
    ),
    Option(
        "--rows",
        type=_positive,
        default=1_000,
        metavar="N",
        help="number of rows; 1,000 by default",
    ),
    Option(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="seed of the draw; 0 by default",
    ),
)
