"""Options of the commands, as data for `argparse` and for shell completion."""

import argparse
from collections.abc import Iterator
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
    "LISTING",
    "PREDICTING",
    "REPORT",
    "RESUMING",
    "SCHEMAS",
    "STARTING",
    "TRAINING",
    "VERIFYING",
    "Option",
    "StoreFormat",
    "is_override",
]


class Option:
    """An option or positional argument, as `add_argument` takes it."""

    def __init__(self, *names: str, files: bool = False, **settings: Any):
        self.names, self.settings = names, settings
        self.files = files
        """True if its value is a path."""

    @property
    def takes_value(self) -> bool:
        """True if the option takes a value."""
        return self.settings.get("action") not in ("store_true", "store_const")


class StoreFormat(argparse.Action):
    """Stores `json` as the format of the report, others as that of the output file."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, "report" if values == "json" else "format", values)


class _ExportFormats:
    """Formats of `export --format`; those of other packages are looked up when used."""

    _OWN = ("savedmodel", "onnx", "json")

    def __contains__(self, name: object) -> bool:
        return name in self._OWN or name in tuple(self)

    def __iter__(self) -> Iterator[str]:
        from specflow.runtime.entry_points import names  # Help must not load pathlib.

        # GROUP of specflow.serving.convert, which loads JAX.
        return iter(dict.fromkeys((*self._OWN, *names("specflow.converters"))))


def is_override(word: str) -> bool:
    """Returns True for an override, False for a bare key.

    >>> is_override("optimizer.lr=1"), is_override("~mesh.rules"), is_override("seed")
    (True, True, False)
    """
    return "=" in word or word[:1] in ("~", "+")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _step(text: str) -> int | str:
    if text.isascii() and text.isdigit():
        return int(text)
    if text[:1].isalnum() or text[:1] == "_":
        return text  # The run decides whether it is a tag.
    expected = f"got {text!r}. Expected a step, best, latest or a tag"
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
    help="your own config folder, searched before the shipped one; repeatable",
)
STEP = Option(
    "--step",
    type=_step,
    metavar="N",
    help="checkpoint to use: a step, best (by output.checkpoint.best), a tag, or "
    "latest, the default",
)
SPLIT = Option(
    "--split",
    metavar="{train,eval,test,SET}",
    default="eval",
    help="split of the run's data, or the name of an evaluation set; eval by default",
)
INPUT = Option(
    "--input",
    metavar="MODULE:FUNCTION",
    help="input function, for a run made in Python; that of its last evaluation by "
    "default",
)

REPORT = Option(
    "--format",
    dest="report",
    choices=["text", "json"],
    help="json: diagnostics and result as one document, for tools; text by default",
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
    help="with --topology: report only what is known without compiling, in seconds",
)
TRAINING = (
    *COMMON,
    Option(
        "--topology",
        metavar="CHIPS",
        help="refuse to start if the experiment does not fit this TPU slice or these "
        "GPUs, such as v5p:4x4x4 or h100:8; with -m, before the first trial",
    ),
    NO_COMPILE,
    Option(
        "-m",
        "--multirun",
        action="store_true",
        help="sweep: key=a,b runs one trial for each value",
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
        metavar="CHIPS",
        help="compile for this TPU slice or these GPUs, on a machine without them, and "
        "report whether it fits: v5p:4x4x4, h100:8, 'h100:8*4' for four nodes (or "
        "slices); list prints all",
    ),
    NO_COMPILE,
    Option(
        "--budget",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="with --topology: time limit of the search for changes that fit; 300 by "
        "default",
    ),
    Option(
        "--fingerprint",
        action="store_true",
        help="print a hash of the lowered program of each mode, and one of all",
    ),
)
RESUMING = (
    *COMMON,
    Option(
        "--steps",
        type=_count,
        metavar="N",
        help="step at which both runs end; 24 by default",
    ),
    Option(
        "--at",
        type=_count,
        metavar="N",
        help="step of the checkpoint after which the second run is interrupted; 9 by "
        "default",
    ),
    Option(
        "--signal",
        choices=["kill", "term"],
        default="kill",
        help="signal that interrupts it: kill, the default, or term, after which it "
        "saves",
    ),
    Option(
        "--output",
        files=True,
        metavar="DIR",
        help="folder that keeps both runs; they are removed by default",
    ),
    Option(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="number of processes of each run, as of launch; 1 by default",
    ),
)
EVALUATING = (*COMMON, SPLIT, STEP, INPUT)
PREDICTING = (
    *_SHOWING,
    Option(
        "--output",
        files=True,
        metavar="FILE",
        help="file to write (.jsonl, .csv, .parquet), instead of standard output",
    ),
    Option(
        "--format",
        action=StoreFormat,
        choices=["jsonl", "csv", "parquet", "json"],
        help="format of the rows, whatever the file is called; json: diagnostics as "
        "one document, for tools",
    ),
    Option("--keys", type=_names, metavar="NAME,NAME", help="only these predictions"),
    Option(
        "--rows-of",
        type=_count,
        metavar="STEP",
        help="the rows of this training step's batch, with their indices, features and "
        "labels",
    ),
    Option(
        "--labels",
        action="store_true",
        help="write the label of each row too, for report --rows",
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
        help="export into DIR instead of the run directory",
    ),
    Option(
        "--format",
        action=StoreFormat,
        choices=_ExportFormats(),
        metavar="FORMAT",
        help="also convert the export and verify its answers: savedmodel, onnx, or the "
        "format of another installed converter; json: diagnostics and result as one "
        "document, for tools",
    ),
    Option(
        "--platforms",
        type=_names,
        default=["cpu", "cuda", "tpu"],
        metavar="NAME,NAME",
        help="platforms to export for; cpu,cuda,tpu by default",
    ),
    Option(
        "--batch",
        type=_numbers,
        metavar="N,N",
        help="batch sizes to export for; any by default",
    ),
    STEP,
    INPUT,
)
LISTING = (
    Option(
        "overrides",
        nargs="*",
        metavar="run=DIR",
        help="a run directory, or the model_dir of an estimator made in Python",
    ),
    Option(
        "--tag",
        metavar="NAME",
        help="name a checkpoint, the newest or that of --step, which is then kept "
        "permanently",
    ),
    STEP,
    Option(
        "--move",
        action="store_true",
        help="with --tag: move the name if another checkpoint has it",
    ),
    Option("--untag", metavar="NAME", help="remove the name of a checkpoint"),
    Option(
        "--verify",
        action="store_true",
        help="read every array and compare its digest, instead of metadata and sizes",
    ),
    CONFIG_DIR,
    REPORT,
)
VERIFYING = (
    OVERRIDES,
    CONFIG_DIR,
    REPORT,
    Option(
        "--repair",
        action="store_true",
        help="remove what is incomplete and move what is damaged to RUN/damaged; never "
        "the last intact checkpoint",
    ),
    Option(
        "--dry-run",
        action="store_true",
        help="with --repair: print what would be done, and change nothing",
    ),
)
LAUNCHING = (
    Option(
        "--processes",
        type=int,
        required=True,
        metavar="N",
        help="number of processes",
    ),
    CONFIG_DIR,
    Option(
        "--restarts",
        type=int,
        default=0,
        metavar="N",
        help="restart all processes after a failure of the machine, a lost process or "
        "a preemption; at most N times without a newer checkpoint in between",
    ),
)
EXPLAINING = (
    Option(
        "words",
        nargs="*",
        metavar="KEY | CODE | override",
        help="the key to explain, and overrides of the experiment to explain it in; or "
        "the code of an error or warning",
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
    Option("b", metavar="B", help="the other one, by any such name"),
    CONFIG_DIR,
    REPORT,
)
STARTING = (
    Option(
        "path",
        metavar="NAME",
        help="folder of the project, new or empty; its last part is the project's name",
    ),
    Option(
        "--from",
        dest="table",
        files=True,
        metavar="FILE",
        help="a table of your own to train on: CSV, TSV, JSON lines, Parquet or Arrow; "
        "the kinds of its columns are inferred, and written for you to edit. Or a "
        "folder with a folder of images for each class",
    ),
    Option(
        "--labels",
        metavar="COLUMN",
        help="column of labels of --from; the last one by default",
    ),
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
        help="write the schemas of all groups into DIR, for example my_conf/schema",
    ),
    CONFIG_DIR,
)
COMPLETING = (
    Option("shell", choices=["bash", "zsh", "fish"], help="the shell to complete in"),
    CONFIG_DIR,
    Option(
        "--line",
        metavar="TEXT",
        help="print completions of this command line; called by the script",
    ),
)
