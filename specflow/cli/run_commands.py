"""`evaluate`, `predict` and `export`: commands on a run."""

import argparse

from specflow.cli.experiments import compose_run, reporting, run_made_in_python
from specflow.runtime import gc_pause

__all__ = ["evaluate", "export", "predict"]


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluates a checkpoint of a run."""
    recorded = run_made_in_python(arguments)
    composed = None if recorded is not None else compose_run(arguments)
    from specflow import commands

    gc_pause.resume()
    with reporting(arguments, composed) as fields:
        if recorded is not None:
            fields["metrics"] = commands.evaluate_recorded(
                recorded, step=arguments.step
            )
        elif composed is not None:
            fields["metrics"] = commands.evaluate(
                composed, split=arguments.split, step=arguments.step
            )
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Writes the predictions of a run."""
    recorded = run_made_in_python(arguments)
    composed = None if recorded is not None else compose_run(arguments)
    from specflow import commands

    gc_pause.resume()
    given = {
        "output": arguments.output,
        "format": arguments.format,
        "keys": arguments.keys,
        "step": arguments.step,
    }
    # Rows on standard output leave no room for a document there.
    to_file = arguments.output is not None
    with reporting(arguments, composed, prints_document=to_file) as fields:
        if recorded is not None:
            fields["rows"] = commands.predict_recorded(recorded, **given)
        elif composed is not None:
            fields["rows"] = commands.predict(
                composed,
                rows_of=arguments.rows_of,
                labels=arguments.labels,
                split=arguments.split,
                **given,
            )
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Exports the model of a run."""
    recorded = run_made_in_python(arguments)
    composed = None if recorded is not None else compose_run(arguments)
    from specflow import commands

    gc_pause.resume()
    given = {
        "output": arguments.output,
        "step": arguments.step,
        "platforms": arguments.platforms,
        "batch": arguments.batch,
        "format": arguments.format,
    }
    with reporting(arguments, composed) as fields:
        if recorded is not None:
            fields["path"] = commands.export_recorded(recorded, **given)
        elif composed is not None:
            fields["path"] = commands.export(composed, **given)
    return 0
