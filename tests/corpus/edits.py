"""Values that are wrong: each with the key that a report must name."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.corpus.planted import Edit

__all__ = ["CONF", "edits", "misspell"]

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = {path.stem for path in CONF.rglob("*.yaml")}
"""Names that are no misspelling of another: adam is a slip away from adamw."""
OPEN = (
    *("spec.inputs", "spec.predictions", "spec.loss", "spec.eval_metrics"),
    *("spec.export_outputs", "output.exporters", "optimizer.parts"),
    *("spec.export_outputs.serving_default.outputs", "mesh.logical"),
)
"""Mappings of names that the user chooses, where no name is unknown."""

WRONG_TYPES = {
    "seed": ("fast", "1.5", "true", "'3'"),
    "name": ("3", "true", "2.5"),
    "loop.train_steps": ("many", "1.5", "true", "'10'"),
    "loop.batch_size": ("big", "32.0", "false"),
    "loop.eval_batch_size": ("big", "64.5"),
    "loop.eval_every": ("10 minutes", "true"),
    "loop.log_every": ("often", "1.5"),
    "loop.iterations_per_loop": ("x", "2.5"),
    "optimizer.lr": ("fast", "true", "'1e-3'"),
    "optimizer.nesterov": ("maybe", "1"),
    "optimizer.clip_norm": ("high",),
    "optimizer.schedule.warmup_steps": ("soon", "1.5"),
    "optimizer.parts.wide.optimizer.lr": ("fast",),
    "data.shuffle": ("perhaps", "1"),
    "data.eval_fraction": ("half",),
    "data.split_seed": ("1.5", "x"),
    "data.standardize": ("3",),
    "data.length": ("64.0", "long"),
    "model.outputs": ("ten", "2.5"),
    "model.dropout": ("little", "true"),
    "model.batch_norm": ("2",),
    "model.layers": ("two", "2.0"),
    "output.checkpoint.keep": ("all", "2.5"),
    "output.dir": ("3", "true"),
    "mesh.axes.data": ("wide", "1.5"),
    "mesh.pretend_devices": ("two",),
    "spec.loss.cross_entropy.weight": ("heavy",),
}
OUT_OF_RANGE = {
    "seed": ("-1",),
    "name": ("'a b'", "''", "../up"),
    "loop.train_steps": ("0", "-5"),
    "loop.batch_size": ("0", "-32"),
    "loop.eval_batch_size": ("0",),
    "loop.iterations_per_loop": ("0",),
    "loop.eval_every": ("-1", "-10m"),
    "optimizer.lr": ("-0.1",),
    "optimizer.b1": ("1.5", "-0.1"),
    "optimizer.weight_decay": ("-1",),
    "optimizer.clip_norm": ("-1.0",),
    "optimizer.schedule.warmup_steps": ("-3",),
    "optimizer.parts.deep.optimizer.lr": ("-1.0",),
    "data.eval_fraction": ("1.5", "-0.1"),
    "data.split_seed": ("-1",),
    "data.length": ("0",),
    "model.dropout": ("1.0", "-0.1"),
    "model.outputs": ("0",),
    "model.width": ("0",),
    "output.checkpoint.keep": ("-1",),
    "mesh.axes.data": ("0", "-2"),
    "mesh.pretend_devices": ("0",),
    "spec.loss.cross_entropy.label_smoothing": ("1.5",),
}
CHOICES = {
    "model.dtype": ("float3", "float32"),
    "model.activation": ("rleu", "relu"),
    "model.positions": ("rotery", "rotary"),
    "loop.eval_loss": ("example", "examples"),
    "output.on_change": ("refuze", "refuse"),
    "mesh.cpu": ("tunned", "tuned"),
}
KNOWN_FEATURES = ("digits", "text", "images")
NEVER_NULL = (
    *("seed", "name", "loop.batch_size", "loop.eval_batch_size"),
    *("optimizer.lr", "optimizer.schedule", "optimizer.b1", "optimizer.no_decay"),
    *("data.shuffle", "data.eval_fraction", "model.dropout"),
    *("mesh.axes.data", "mesh.rules", "output.checkpoint", "output.checkpoint.keep"),
    *("spec.inputs", "spec.loss", "output.on_change"),
)
SHAPES = {
    "seed": ("[1, 2]", "{a: 1}"),
    "name": ("[a]", "{a: b}"),
    "loop.train_steps": ("{steps: 1}", "[10]"),
    "loop.eval_every": ("[10]",),
    "optimizer.lr": ("[1e-3]", "{value: 1e-3}"),
    "optimizer.schedule": ("7", "[cosine]"),
    "data.shuffle": ("[true]",),
    "mesh.axes": ("5", "[data]"),
    "mesh.rules": ("{a: 1}", "all"),
    "output.checkpoint": ("5", "[3]"),
    "output.exporters": ("[best]", "best"),
    "output.reporters": ("tensorboard", "{a: 1}"),
    "spec.loss": ("3", "[softmax_cross_entropy]"),
    "spec.inputs": ("[features.x]", "features.x"),
    "spec.eval_metrics": ("[accuracy]", "accuracy"),
    "model.hidden": ("{a: 1}",),
    "model.widths": ("32", "{a: 1}"),
}
INTERPOLATIONS = {
    "name": ("${nope}", "${no.such.key}", "x${nope}", "${name}"),
    "output.dir": ("runs/${optimizer.lrr}", "${oc.env:SPECFLOW_IS_NOT_SET}"),
    "seed": ("${loop.train_step}", "${no_resolver:1}"),
    "loop.train_steps": ("${loop.batch_sizes}", "${oc.env:SPECFLOW_IS_NOT_SET}"),
    "optimizer.lr": ("${optimizer.rate}",),
}
TARGETS = (
    ("model", "{_target_: flax.linen.Dense, featurs: 4}", "featurs", "features"),
    ("model", "{_target_: flax.nnx.Linear, in_features: 3}", "out_features", ""),
    (
        "model",
        "{_target_: flax.nnx.Linear, in_features: 3, out_features: 4, use_bia: true}",
        *("use_bia", "use_bias"),
    ),
    (
        "optimizer",
        "{_target_: optax.adamw, learning_rate: 0.1, weight_decy: 0.1}",
        *("weight_decy", "weight_decay"),
    ),
    (
        "optimizer",
        "{_target_: optax.sgd, learning_rate: 0.1, momentun: 0.9}",
        *("momentun", "momentum"),
    ),
    (
        "spec.loss.mine",
        "{_target_: optax.losses.squared_error, predictions: outputs, target: labels}",
        *("target", "targets"),
    ),
    (
        "spec.eval_metrics.mine",
        "{_target_: specflow.metrics.Accuracy, lables: labels, predictions: outputs}",
        *("lables", "labels"),
    ),
)
"""(section, its text, argument that is wrong, what was meant)"""
UNTRUSTED = (
    *("os.system", "builtins.eval", "subprocess.run", "my_package.Net"),
    *("jax.numpy.load", "flax.nnx.jax.config.update", "optax._src.alias.adamw"),
    *("specflow.cli.main.main", "optax.adamww", "no dots", "optax"),
)
WITH_TARGETS = (
    "model",
    "data",
    "optimizer",
    "spec.loss.mine",
    "spec.eval_metrics.mine",
)
INCOMPLETE = (
    (
        "spec.eval_metrics.mine",
        "{name: threshold_counts, scores: outputs}",
        "thresholds",
    ),
    ("spec.eval_metrics.mine", "{name: sum}", "values"),
    ("spec.loss.mine", "{logits: outputs, labels: labels}", ""),
    ("loop.early_stopping", "{name: no_decrease}", "patience_steps"),
    ("loop.early_stopping", "{patience_steps: 100}", ""),
    ("output.exporters.mine", "{platforms: [cpu]}", ""),
    ("data", "{name: npz, train: a.npz}", "eval"),
)
"""(section, its text, what is missing: empty for the section's name)"""


def edits(rng: random.Random, tree: Mapping[str, Any]) -> Iterator[Edit]:
    """Everything that can be written wrongly into an experiment.

    Args:
        rng: chooses how words are misspelled.
        tree: the experiment as it is composed.
    """
    yield from _unknown_keys(rng, tree)
    for kind, table in (
        ("wrong type", WRONG_TYPES),
        ("out of range", OUT_OF_RANGE),
        ("wrong shape", SHAPES),
        ("interpolation", INTERPOLATIONS),
    ):
        for key, texts in table.items():
            if _is_there(tree, key):
                yield from (Edit(kind, _path(key), text) for text in texts)
    for key, (text, near) in CHOICES.items():
        if _is_there(tree, key):
            yield Edit("unknown value", _path(key), text, near=near)
    for key in NEVER_NULL:
        if _is_there(tree, key):
            yield Edit("null", _path(key), "null")
    for key in ("model.hidden", "model.widths"):
        if isinstance(_get(tree, key), list):
            yield Edit("wrong type", _path(key), "[32, x]", where=f"{key}.1")
            yield Edit("out of range", _path(key), "[0]", where=f"{key}.0")
    yield from _key_paths(rng, tree)
    yield from _names(rng, tree)
    # The losses of spec=table are those of its heads.
    absent = () if _is_there(tree, "spec.loss") else ("spec.loss.mine",)
    for section, text, argument, near in TARGETS:
        if section in absent:
            continue
        where = f"{section}.{argument}"
        yield Edit(
            "target argument", _path(section), text, where, near and f"{section}.{near}"
        )
    for section in WITH_TARGETS:
        if section in absent:
            continue
        for name in rng.sample(UNTRUSTED, 4):
            text = f"{{_target_: {name}}}"
            yield Edit("target", _path(section), text, f"{section}._target_")
    yield Edit("target", ("spec",), "{model_fn: os.system}", "spec.model_fn")
    for section, text, missing in INCOMPLETE:
        if section in absent:
            continue
        where = f"{section}.{missing}" if missing else section
        yield Edit("missing", _path(section), text, where, inside=True)
    yield from _rules(tree)


def misspell(rng: random.Random, word: str, known: Any = ()) -> str:
    """A word with one letter dropped, doubled, swapped or replaced.

    >>> misspell(random.Random(0), "optimizer")
    'optimiztr'
    """
    while True:
        place = rng.randrange(1, max(2, len(word)))
        found = rng.choice(
            [
                word[:place] + word[place + 1 :],
                word[:place] + word[place - 1 : place] + word[place:],
                word[: place - 1]
                + word[place : place + 1]
                + word[place - 1]
                + word[place + 1 :],
                word[:place] + rng.choice("aeinost") + word[place + 1 :],
            ]
        )
        if found != word and found not in known and found.isidentifier():
            return found


def _unknown_keys(rng: random.Random, tree: Mapping[str, Any]) -> Iterator[Edit]:
    for path, value in _leaves(tree):
        if isinstance(value, dict | list):
            continue
        for depth in range(len(path)):
            section = ".".join(path[:depth])
            if section in OPEN and (depth == len(path) - 1 or path[-1] == "name"):
                continue  # A new input or metric, say: any name will do.
            siblings = _get(tree, section) if section else tree
            wrong = (*path[:depth], misspell(rng, path[depth], siblings))
            new = (*wrong, *path[depth + 1 :])
            kind = "misspelled member" if section in OPEN else "unknown key"
            yield Edit(
                kind,
                new,
                "1" if value is None else _text(value),
                ".".join(wrong),
                ".".join(path[: depth + 1]),
                inside=kind != "unknown key",
            )


def _key_paths(rng: random.Random, tree: Mapping[str, Any]) -> Iterator[Edit]:
    for path, value in _leaves({"spec": tree["spec"]}):
        root, _, rest = str(value).partition(".")
        if root not in ("features", "labels", "outputs", "predictions", "losses"):
            continue
        wrong = misspell(rng, root)
        yield Edit("key path", path, f"{wrong}.{rest}" if rest else wrong)
        # Features of these data are known without reading them; every letter is one
        # slip away from x.
        knows = _get(tree, "data.name") in KNOWN_FEATURES and len(rest) > 1
        if root in ("predictions", "losses") or (root == "features" and knows):
            name = misspell(rng, rest)
            yield Edit("key path", path, f"{root}.{name}", near=str(value))
        if root != "features":
            yield Edit("key path", path, "features")


def _names(rng: random.Random, tree: Mapping[str, Any]) -> Iterator[Edit]:
    for path, value in _leaves(tree):
        if path[-1] == "name" and len(path) > 1:
            if path[:2] == ("spec", "name"):
                continue
            yield Edit("unknown name", path, misspell(rng, value, NAMES), near=value)


def _rules(tree: Mapping[str, Any]) -> Iterator[Edit]:
    # The metrics of spec=table are those of the labels, which no config has.
    if _get(tree, "spec.name") != "table":
        best = "output.checkpoint.best"
        yield Edit("rule", _path(best), "{metric: nope}", f"{best}.metric", inside=True)
        stop = "loop.early_stopping"
        text = "{name: no_decrease, metric: nope, patience_steps: 9}"
        yield Edit("rule", _path(stop), text, f"{stop}.metric", inside=True)
        keep = "output.exporters.mine"
        text = "{name: best, metric: nope}"
        yield Edit("rule", _path(keep), text, f"{keep}.metric", inside=True)
    # The steps of epochs are known when the data is read.
    in_steps = _get(tree, "loop.epochs") is None
    if in_steps and _is_there(tree, "optimizer.schedule"):
        yield Edit("rule", ("optimizer", "schedule", "warmup_steps"), "9_999_999")
    if _is_there(tree, "model.max_length"):
        yield Edit("rule", ("data", "length"), "4096")
    if _is_there(tree, "model.heads"):  # No width that is shipped divides by eleven.
        yield Edit("rule", ("model", "heads"), "11")


def _leaves(
    tree: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))
    else:
        yield path, tree


def _get(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _is_there(tree: Any, key: str) -> bool:
    section, _, last = key.rpartition(".")
    return last in ((_get(tree, section) if section else tree) or {})


def _path(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)
