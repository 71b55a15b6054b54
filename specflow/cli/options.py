"""What the commands take, as data: for `argparse`, and for the shell's completion."""

import argparse
from typing import Any

__all__ = [
    "CHECKING",
    "COMMON",
    "COMPARING",
    "COMPLETING",
    "CONFIG_DIR",
    "EVALUATING",
    "EXPLAINING",
    "EXPORTING",
    "LAUNCHING",
    "PREDICTING",
    "SCHEMAS",
    "TRAINING",
    "Option",
    "is_override",
]


class Option:
    """An option, or a word without one, as `add_argument` takes it."""

    def __init__(self, *names: str, files: bool = False, **settings: Any):
        self.names, self.settings = names, settings
        self.files = files
        """Whether its value is a path."""

    @property
    def takes_value(self) -> bool:
        """Whether a value follows the option."""
        return self.settings.get("action") not in ("store_true", "store_const")


class _Format(argparse.Action):
    """`json` is about what the command says, any other format about what it writes."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, "report" if values == "json" else "format", values)


def is_override(word: str) -> bool:
    """Whether a word sets or takes away something, and is no bare key.

    >>> is_override("optimizer.lr=1"), is_override("~mesh.rules"), is_override("seed")
    (True, True, False)
    """
    return "=" in word or word[:1] in ("~", "+")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _step(text: str) -> int | str:
    if text in ("best", "latest"):
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    expected = f"got {text!r}. Expected a step, best or latest"
    raise argparse.ArgumentTypeError(expected)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}. Expected a step, counted from 1")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


OVERRIDES = Option(
    "overrides",
    nargs="*",
    metavar="override",
    help="key=value, group=choice, ~key, run=DIR, trust=PACKAGE",
)
CONFIG_DIR = Option(
    "--config-dir",
    files=True,
    action="append",
    default=[],
    metavar="DIR",
    help="your own folder of configs, searched before the shipped one; repeatable",
)
STEP = Option(
    "--step",
    type=_step,
    metavar="N",
    help="which checkpoint: a step, best (by output.checkpoint.best), or latest, which "
    "is the default",
)
SPLIT = Option(
    "--split",
    choices=["train", "eval"],
    default="eval",
    help="which of the run's data; eval by default",
)
INPUT = Option(
    "--input",
    metavar="MODULE:FUNCTION",
    help="of a run made in Python: the input function; by default that of its last "
    "evaluation",
)

REPORT = Option(
    "--format",
    dest="report",
    choices=["text", "json"],
    help="json: faults and result as one document, for tools; text by default",
)
_SHOWING = (
    OVERRIDES,
    CONFIG_DIR,
    Option("--cfg", choices=["job"], help="show the composed config and run nothing"),
)
COMMON = (*_SHOWING, REPORT)
NO_COMPILE = Option(
    "--no-compile",
    action="store_true",
    help="with --topology: only what can be told without the compiler, in seconds",
)
TRAINING = (
    *COMMON,
    Option(
        "--topology",
        metavar="SLICE",
        help="refuse to start what does not fit this TPU slice, such as v5p:4x4x4: "
        "with -m, before the first job",
    ),
    NO_COMPILE,
    Option(
        "-m",
        "--multirun",
        action="store_true",
        help="sweep: key=a,b runs once for each value",
    ),
)
CHECKING = (
    *COMMON,
    Option(
        "--json",
        dest="report",
        action="store_const",
        const="json",
        help="the same as --format json",
    ),
    Option(
        "--topology",
        metavar="SLICE",
        help="compile for this TPU slice, on a machine without one, and tell whether "
        "it fits: v5p:4x4x4, 'v5p:4x4x4*2' for two slices; list tells the known ones",
    ),
    NO_COMPILE,
    Option(
        "--budget",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="with --topology: how long to look for changes that fit; 300 by default",
    ),
    Option(
        "--fingerprint",
        action="store_true",
        help="print a hash of the lowered program of each mode, and one of all",
    ),
)
EVALUATING = (*COMMON, SPLIT, STEP, INPUT)
PREDICTING = (
    *_SHOWING,
    Option(
        "--output",
        files=True,
        metavar="FILE",
        help="write here (.jsonl, .csv, .parquet), not to standard output",
    ),
    Option(
        "--format",
        action=_Format,
        choices=["jsonl", "csv", "parquet", "json"],
        help="what to write, whatever the file is called; json: faults as one "
        "document, for tools",
    ),
    Option("--keys", type=_names, metavar="NAME,NAME", help="only these predictions"),
    Option(
        "--rows-of",
        type=_count,
        metavar="STEP",
        help="the rows of the batch of this training step, with their numbers, "
        "features and labels",
    ),
    SPLIT,
    STEP,
    INPUT,
)
EXPORTING = (
    *_SHOWING,
    Option(
        "--output",
        files=True,
        metavar="DIR",
        help="export into DIR, not into the run",
    ),
    Option(
        "--format",
        action=_Format,
        choices=["savedmodel", "onnx", "json"],
        help="convert the export as well, and verify what comes of it; json: faults "
        "and result as one document, for tools",
    ),
    Option(
        "--platforms",
        type=_names,
        default=["cpu", "cuda", "tpu"],
        metavar="NAME,NAME",
        help="what to export for; cpu,cuda,tpu by default",
    ),
    Option(
        "--batch",
        type=_numbers,
        metavar="N,N",
        help="export for these numbers of rows; by default for any",
    ),
    STEP,
    INPUT,
)
LAUNCHING = (
    Option(
        "--processes",
        type=int,
        required=True,
        metavar="N",
        help="how many to start",
    ),
    CONFIG_DIR,
    Option(
        "--restarts",
        type=int,
        default=0,
        metavar="N",
        help="start all again after a failure of the machine, a lost process or a "
        "preemption, at most this often without a newer checkpoint in between",
    ),
)
EXPLAINING = (
    Option(
        "words",
        nargs="*",
        metavar="KEY | override",
        help="the key to explain, and overrides of the experiment to explain it in",
    ),
    CONFIG_DIR,
    REPORT,
)
COMPARING = (
    Option(
        "a",
        metavar="A",
        help="a run directory, a config file, the name of an experiment, or overrides "
        "in quotes",
    ),
    Option("b", metavar="B", help="what it is compared with, by any such name"),
    CONFIG_DIR,
    REPORT,
)
SCHEMAS = (
    Option(
        "group",
        nargs="?",
        default="experiment",
        metavar="GROUP",
        help="a config group, such as optimizer; by default a whole experiment",
    ),
    Option(
        "--write",
        files=True,
        metavar="DIR",
        help="write the schemas of all groups into DIR, my_conf/schema say",
    ),
    CONFIG_DIR,
)
COMPLETING = (
    Option("shell", choices=["bash", "zsh", "fish"], help="the shell to complete in"),
    CONFIG_DIR,
    Option(
        "--line",
        metavar="TEXT",
        help="answer with what completes this command line, as the script asks for it",
    ),
)
