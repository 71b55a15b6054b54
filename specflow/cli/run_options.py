"""Options of the commands that list runs and report on them."""

from specflow.cli.options import CONFIG_DIR, REPORT, Option, StoreFormat

__all__ = ["LISTING_RUNS", "REPORTING"]

LISTING_RUNS = (
    Option(
        "directory",
        nargs="?",
        default="runs",
        metavar="DIR",
        files=True,
        help="folder with runs below it; runs by default",
    ),
    Option(
        "--format",
        action=StoreFormat,
        choices=["text", "csv", "json"],
        help="csv, or json: one document, for tools; text by default",
    ),
    CONFIG_DIR,
)
REPORTING = (
    Option(
        "overrides",
        nargs="*",
        metavar="run=DIR | sync",
        help="the runs of the page; or sync run=DIR, to send a run to its trackers, or "
        "to others: output.reporters=[mlflow]",
    ),
    Option(
        "--output",
        files=True,
        metavar="FILE",
        help="file to write; report.html in the first run by default, and card.md "
        "there for --card",
    ),
    Option(
        "--rows",
        files=True,
        metavar="FILE",
        help="rows with labels and predictions, JSON lines or CSV: draws ROC, "
        "precision and recall, and calibration, or residuals",
    ),
    Option(
        "--card",
        action="store_true",
        help="write a model card in Markdown, of one run, instead of a page",
    ),
    CONFIG_DIR,
    REPORT,
)
