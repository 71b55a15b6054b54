"""Commands that need JAX; each takes a composed experiment or a recorded run."""

from specflow.runtime.optional_imports import without

# Flax and treescope ask IPython whether they run in a notebook. A command does not, and
# importing IPython takes an eighth of the time of importing Flax.
with without("IPython"):
    from specflow.commands.check import check
    from specflow.commands.evaluate import evaluate
    from specflow.commands.export import export
    from specflow.commands.predict import predict
    from specflow.commands.python_runs import (
        evaluate_recorded,
        export_recorded,
        predict_recorded,
    )
    from specflow.commands.resume_check import resume_check
    from specflow.commands.train import train

__all__ = [
    "check",
    "evaluate",
    "evaluate_recorded",
    "export",
    "export_recorded",
    "predict",
    "predict_recorded",
    "resume_check",
    "train",
]
