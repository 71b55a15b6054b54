"""Every part of a run that changes is in its checkpoints, or named here with a reason.

No list says what has a state: the live objects of a run are walked. A run of 20 steps,
and one that stops at 10 and resumes in new objects, are compared where both save step
20. Whatever counted, averaged or remembered something before step 10 and is not in the
checkpoint differs there.
"""

import collections
import functools
import itertools
import re
import sys
import types
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.estimator import loss_reports, train_actions, training
from tests.laws.conftest import CASES, accuracy_fn

STOP, LAST = 10, 20
PAGE = Path(__file__).parents[2] / "docs/design/run-state.md"


class Epochs:
    """An iterator with a position of its own, in the manner of Grain's."""

    def __init__(self, case):
        self.case, self.at = case, 0

    def __iter__(self):
        return self

    def __next__(self):
        rows = np.arange(self.at, self.at + 8) % len(self.case.labels)
        self.at += 8
        return {"x": self.case.features[rows]}, self.case.labels[rows]

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


class MeanLoss:
    """A hook with a state, by the names of PyTorch."""

    def __init__(self):
        self.losses = np.zeros(0, np.float32)

    def after_step(self, step, loss):
        self.losses = np.append(self.losses, np.float32(loss))

    def state_dict(self):
        return {"losses": self.losses}

    def load_state_dict(self, state):
        self.losses = state["losses"]


class Saves:
    """A listener with a state, by the names of iterators."""

    def __init__(self):
        self.steps = []

    def before_save(self, step):
        if step not in self.steps:  # The first save of a call may be a repeated one.
            self.steps.append(step)

    def get_state(self):
        return self.steps

    def set_state(self, steps):
        self.steps = steps


class Forgetful:
    """A hook that counts, and has no state: what the law is there to find."""

    def __init__(self):
        self.calls = 0

    def after_step(self, step, loss):
        self.calls += 1


def model_fn(model, features, labels, mode):
    logits = model(features["x"])
    predictions = {"class": logits.argmax(-1), "logits": logits}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, predictions)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    average = sf.optimizer.track_average(0.9)
    return sf.TPUEstimatorSpec(
        mode,
        predictions,
        losses.mean(),
        optax.chain(optax.adam(1e-2), average),
        (accuracy_fn, [labels, predictions["class"]]),
    )


def all_features(case, directory):
    """Returns an estimator and its run with every feature that has a state."""
    estimator = sf.Estimator(
        model_fn,
        model=case.model,
        model_dir=directory,
        eval_params=sf.optimizer.averaged,
        train_batch_size=8,
        mesh=sf.MeshConfig(axes=sf.config.sections.mesh.AxesConfig()),
        config=sf.RunConfig(
            seed=None,
            save_checkpoints_steps=5,
            keep_best=sf.config.sections.output.BestConfig(metric="loss"),
            log_step_count_steps=7,
            save_summary_steps=6,
            progress=False,
            tpu_config=sf.TPUConfig(iterations_per_loop=5, loss_scale="dynamic"),
        ),
    )
    rows = {"x": case.features}, case.labels
    spec = sf.EvalSpec(
        lambda: rows,
        steps=2,
        every_steps=5,
        exporters=[sf.BestExporter(input_fn=lambda: rows)],
        early_stopping=sf.early_stopping.Stalled("again/loss", 1000, "lower"),
        sets={"again": lambda: rows},
        at_start=True,
    )
    return estimator, spec


def all_parts_seen(case, directory, stops, *, iterator):
    """Trains in one or more pieces, each of new objects, up to each of the steps.

    Returns:
        All values that were reachable when the last step was saved, and the state of
        the parts in its checkpoint.
    """
    seeds, seen = itertools.count(7), {}

    class Watcher(loss_reports.Watcher):
        """A count that is not saved, as a new part may have."""

        planted = 0

        def __call__(self, *arguments):
            self.planted += 1
            super().__call__(*arguments)

    class TrainActions(train_actions.TrainActions):
        def _write(self, step, state):
            super()._write(step, state)
            if step == LAST and not seen:
                seen.update(walk({"actions": self, **local_variables()}, directory))

    for stop in stops:
        with pytest.MonkeyPatch.context() as patch:
            # A later estimator draws another seed.
            patch.setattr("secrets.randbits", lambda _: next(seeds))
            patch.setattr(training, "TrainActions", TrainActions)
            patch.setattr(training, "Watcher", Watcher)
            estimator, spec = all_features(case, directory)
            rows = case.input_fn()
            estimator.train_and_evaluate(
                sf.TrainSpec(
                    (lambda: Epochs(case)) if iterator else (lambda: rows),  # noqa: B023
                    max_steps=stop,
                    hooks=[MeanLoss(), Forgetful()],
                    saving_listeners=[Saves()],
                ),
                spec,
            )
            parts = estimator.checkpoints.data_position(stop)
            estimator.close()
    return seen, parts


def local_variables():
    """Returns those of the functions of specflow that are running, by function."""
    frame, found = sys._getframe(2), {}
    while frame is not None:
        if is_ours(frame.f_globals["__name__"]) and frame.f_globals is not globals():
            for name, value in frame.f_locals.items():
                found[f"{frame.f_code.co_name}().{name}"] = value
        frame = frame.f_back
    return found


def walk(roots, directory):
    """Returns path -> value of every attribute reachable through objects of specflow.

    A path is the class and the attribute of each object on the way. Objects of other
    packages are left out, except arrays, containers, and the closures and arguments of
    functions.
    """
    values, visited = {}, set()

    def visit(path, value):
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            if not (isinstance(value, jax.Array) and value.is_deleted()):
                if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
                    value = jax.random.key_data(value)
                values[path] = np.asarray(value).tobytes()
            return
        if value is None or isinstance(value, bool | int | float | bytes):
            values[path] = value
        elif isinstance(value, str | Path):
            values[path] = str(value).replace(str(directory), "DIR")
        elif id(value) not in visited:
            # Which tuples are the same object says nothing: their values do not change.
            if not isinstance(value, tuple):
                visited.add(id(value))
            kept.append(value)  # So that no other object gets its id.
            for name, member in members(value):
                visit(f"{path} > {name}", member)

    kept = []
    for name, root in roots.items():
        visit(name, root)
    return values


def members(value):
    """Yields name and value of what an object consists of."""
    if isinstance(value, dict | types.MappingProxyType):
        for key, item in value.items():
            yield f"[{key!r:.60}]", item
    elif isinstance(value, list | tuple | collections.deque):
        names = getattr(value, "_fields", None)
        for place, item in enumerate(value):
            yield names[place] if names else f"[{place}]", item
    elif isinstance(value, set | frozenset):
        yield "members", sorted(map(repr, value))
    elif isinstance(value, functools.partial):
        yield from enumerate((value.func, value.args, value.keywords))
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
    elif isinstance(value, types.FunctionType):
        if is_ours(value.__module__):
            for name, cell in zip(
                value.__code__.co_freevars, value.__closure__ or (), strict=True
            ):
                try:
                    yield f"{value.__qualname__}:{name}", cell.cell_contents
                except ValueError:
                    continue  # Not assigned yet.
    elif is_ours(type(value).__module__) and not isinstance(value, type):
        slots = (
            name
            for base in type(value).__mro__
            for name in np.atleast_1d(base.__dict__.get("__slots__", ()))
        )
        names = dict.fromkeys([*getattr(value, "__dict__", {}), *slots])
        for name in names:
            if hasattr(value, name) and not str(name).startswith("__"):
                yield f"{type(value).__name__}.{name}", getattr(value, name)


def is_ours(module):
    return str(module).startswith(("specflow", __name__))


def differing(one, other):
    """Returns the paths with different values."""
    missing = object()
    return sorted(
        path
        for path in one.keys() | other.keys()
        if one.get(path, missing) != other.get(path, missing)
    )


def documented(heading):
    """Returns the rows of a table of the documentation: name -> the rest."""
    _, _, section = PAGE.read_text().partition(f"## {heading}\n")
    section, _, _ = section.partition("\n## ")
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))


def is_exception(path, name):
    return re.search(rf"(^|> ){re.escape(name)}( >|$)", path) is not None


@pytest.fixture(scope="module", params=["arrays", "iterator"])
def comparison(request, tmp_path_factory):
    """Paths that differ, and the parts of the checkpoint, for both kinds of inputs."""
    case, iterator = CASES[0], request.param == "iterator"
    (unbroken, parts), (resumed, resumed_parts) = (
        all_parts_seen(case, tmp_path_factory.mktemp("run"), stops, iterator=iterator)
        for stops in ([LAST], [STOP, LAST])
    )
    assert len(unbroken) > 200
    assert parts.keys() == resumed_parts.keys()
    return differing(unbroken, resumed), parts


def test_what_a_checkpoint_lacks_is_an_exception_or_found_by_this_test(comparison):
    """Two counts are planted that are not saved, one of the user and one of ours."""
    paths, _ = comparison
    names = documented("What is not saved")
    found = [path for path in paths if not any(is_exception(path, n) for n in names)]
    assert {path.rpartition("> ")[2] for path in found} == {
        "Forgetful.calls",
        "Watcher.planted",
    }


def test_no_exception_is_without_use(comparison):
    paths, parts = comparison
    names = documented("What is not saved")
    idle = [n for n in names if not any(is_exception(path, n) for path in paths)]
    is_iterator = "iterator" in parts["input"]
    assert idle == ([] if is_iterator else ["StreamBatches._places"])


def test_the_documentation_names_the_parts_of_a_checkpoint(comparison):
    _, parts = comparison
    expected = set(documented("What is saved"))
    assert {re.sub(r"(hook|listener) \w+", r"\1 NAME", name) for name in parts} == (
        expected
        - {
            "columns",
            "early stopping NAME",
            "evaluation hook NAME",
            "exporter NAME",
            "spec's evaluation hook NAME",
            "tracker NAME",
        }
    )
