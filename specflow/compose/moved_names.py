"""Former dotted paths of specflow's own modules and functions."""

from collections.abc import Iterator

__all__ = ["MOVED", "new_names"]

MOVED = {
    "specflow.canned": "specflow.tf.canned",
    "specflow.canned.features": "specflow.tf.canned.feature_columns",
    "specflow.data.build": "specflow.data.build_sources",
    "specflow.data.form": "specflow.data.input_kinds",
    "specflow.data.handed": "specflow.data.reused_iterators",
    "specflow.data.narrow": "specflow.data.narrowing",
    "specflow.data.sets": "specflow.data.sklearn_sets",
    "specflow.data.split": "specflow.data.holdout",
    "specflow.data.text": "specflow.data.byte_text",
    "specflow.data.tree": "specflow.data.array_tree",
    "specflow.declare": "specflow.spec",
    "specflow.declare.counted": "specflow.spec.row_mask",
    "specflow.declare.inputs": "specflow.spec.model_inputs",
    "specflow.declare.keys": "specflow.spec.key_paths",
    "specflow.declare.model_fn": "specflow.spec.declared_model_fn",
    "specflow.errors": "specflow.diagnostics.errors",
    "specflow.heads": "specflow.tf.heads",
    "specflow.heads.binary": "specflow.tf.heads.binary_class",
    "specflow.heads.classes": "specflow.tf.heads.class_names",
    "specflow.heads.language": "specflow.tf.heads.next_token",
    "specflow.heads.reduction": "specflow.tf.heads.loss_reduction",
    "specflow.heads.regression": "specflow.tf.heads.regression_head",
    "specflow.metrics.declared": "specflow.metrics.declared_metrics",
    "specflow.metrics.rows": "specflow.metrics.metric_rows",
    "specflow.metrics.streaming": "specflow.tf.metrics",
    "specflow.metrics.streaming.at_k": "specflow.tf.metrics.streaming_at_k",
    "specflow.metrics.streaming.classes": "specflow.tf.metrics.streaming_classes",
    "specflow.metrics.streaming.means": "specflow.tf.metrics.streaming_means",
    "specflow.metrics.streaming.pair": "specflow.tf.metrics.value_and_state",
    "specflow.metrics.streaming.thresholds": "specflow.tf.metrics.streaming_thresholds",
    "specflow.metrics.table": "specflow.metrics.metric_table",
    "specflow.model.build": "specflow.model.build_model",
    "specflow.model.flat": "specflow.model.flat_state",
    "specflow.model.logical": "specflow.model.logical_axes",
    "specflow.model.lookup": "specflow.model.embedding_lookup",
    "specflow.model.module": "specflow.model.nnx_module",
    "specflow.model.split": "specflow.model.split_state",
    "specflow.model.zoo.linear": "specflow.model.zoo.linear_model",
    "specflow.model.zoo.shares": "specflow.model.zoo.fused_weights",
    "specflow.optimizer.average": "specflow.optimizer.moving_average",
    "specflow.optimizer.build": "specflow.optimizer.build_optimizer",
    "specflow.optimizer.piecewise": (
        "specflow.tf.optimizers.piecewise_constant_schedule"
    ),
    "specflow.optimizer.reference": "specflow.tf.optimizers",
}
"""Former dotted path of a module or package -> its path now."""

_METRICS = "specflow.metrics."
_OPTIMIZERS = ("specflow.optimizer.", "specflow.optimizer.reference.")


def new_names(name: str) -> Iterator[str]:
    """Yields the paths at which something by a former dotted path may be now.

    Whether it exists there is for the caller to look up: a metric function of
    TensorFlow moved, a misspelled metric class did not.

    >>> list(new_names("specflow.heads.MultiClassHead"))
    ['specflow.tf.heads.MultiClassHead']
    >>> list(new_names("specflow.optimizer.tf_adam"))
    ['specflow.tf.optimizers.adam']
    >>> list(new_names("specflow.metrics.mean"))
    ['specflow.tf.metrics.mean']
    >>> list(new_names("specflow.metrics.Mean"))
    []
    """
    package, _, last = name.rpartition(".")
    if last.startswith("tf_") and f"{package}." in _OPTIMIZERS:
        yield f"specflow.tf.optimizers.{last.removeprefix('tf_')}"
        return
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if (moved := MOVED.get(".".join(parts[:length]))) is not None:
            yield ".".join([moved, *parts[length:]])
            return
    if name == f"{_METRICS}{last}" and last.islower():
        # Functions of tf.metrics; classes of metrics stayed.
        yield f"specflow.tf.metrics.{last}"
