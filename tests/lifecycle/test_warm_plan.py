"""Plans of a warm start, by names, shapes and dtypes."""

import jax
import numpy as np
import pytest

from specflow.lifecycle import WarmStartSettings
from specflow.lifecycle.warm_plan import WarmRow, plan

F32, F16, I32 = np.float32, np.float16, np.int32
TREE = {
    "params": {
        "enc.a": jax.ShapeDtypeStruct((3, 2), F32),
        "enc.b": jax.ShapeDtypeStruct((2,), F32),
        "head": jax.ShapeDtypeStruct((2,), F32),
    },
    "state": {
        "batch_stats.enc.mean": jax.ShapeDtypeStruct((2,), F32),
        "rngs.count": jax.ShapeDtypeStruct((), np.uint32),
    },
    "opt_state": {
        "[0]/count": jax.ShapeDtypeStruct((), I32),
        "[0]/mu/enc.a": jax.ShapeDtypeStruct((3, 2), F32),
        "[0]/mu/head": jax.ShapeDtypeStruct((2,), F32),
    },
}


def saved(layer="enc", dtype=F32, **more):
    found = {
        f"params/{layer}.a": ((3, 2), dtype),
        f"params/{layer}.b": ((2,), dtype),
        "params/head": ((2,), dtype),
        f"state/batch_stats.{layer}.mean": ((2,), F32),
        "state/rngs.count": ((), np.uint32),
        "opt_state/[0]/count": ((), I32),
        f"opt_state/[0]/mu/{layer}.a": ((3, 2), F32),
        "opt_state/[0]/mu/head": ((2,), F32),
        **more,
    }
    return {name: jax.ShapeDtypeStruct(*form) for name, form in found.items()}


def planned(there, **settings):
    return plan(
        WarmStartSettings("run", **settings),
        TREE,
        there,
        source="run/1",
        known_rows=lambda path: 0,
    )


@pytest.mark.parametrize(
    ("state", "parts"),
    [
        ("params", {"params": 3}),
        ("model", {"params": 3, "state": 1, "opt_state": 0}),
        ("full", {"params": 3, "state": 2, "opt_state": 3}),
    ],
)
def test_the_state_setting_selects_the_restored_parts(state, parts):
    found = planned(saved(), state=state).taken
    assert {part: len(names) for part, names in found.items()} == parts


def test_a_rename_of_all_below_a_path_renames_every_part():
    """Statistics of Linen are under their collection, optimizers' at the end."""
    found = planned(saved("body"), state="full", renames={"enc.**": "body.**"})
    assert found.diagnostics == []
    assert found.taken == {
        "params": {
            "enc.a": "params/body.a", "enc.b": "params/body.b", "head": "params/head",
        },
        "state": {
            "batch_stats.enc.mean": "state/batch_stats.body.mean",
            "rngs.count": "state/rngs.count",
        },
        "opt_state": {
            "[0]/count": "opt_state/[0]/count",
            "[0]/mu/enc.a": "opt_state/[0]/mu/body.a",
            "[0]/mu/head": "opt_state/[0]/mu/head",
        },
    }  # fmt: skip
    assert {row.result for row in found.rows} == {"taken"}


def test_excluded_parameters_restore_no_optimizer_state():
    found = planned(saved(), state="full", exclude=["head"])
    assert "head" not in found.taken["params"]
    assert "[0]/mu/head" not in found.taken["opt_state"]
    assert found.others["optimizer state excluded by head"] == ["[0]/mu/head"]
    assert found.rows[2:] == [
        WarmRow("head", "", "f32[2]", "initialized", "excluded by head")
    ]


def test_the_table_shows_what_is_taken_initialized_and_left_out_and_why():
    found = planned(
        saved(**{"params/tail.w": ((4,), F16)}),
        exclude=["head"],
        renames={"enc.b": "head"},
    )
    assert str(found).splitlines()[:6] == [
        "warm start from run/1",
        "array  from    shape     result",
        "enc.a  enc.a   f32[3,2]  taken",
        "enc.b  head    f32[2]    taken",
        "head   -       f32[2]    initialized: excluded by head",
        "-      enc.b   f32[2]    left out: not used here",
    ]
    assert str(found).splitlines()[6] == (
        "-      tail.w  f16[4]    left out: not used here"
    )
    assert found.to_plain()["arrays"][2:4] == [
        {"array": "head", "from": None, "shape": "f32[2]", "result": "initialized",
         "reason": "excluded by head"},
        {"array": None, "from": "enc.b", "shape": "f32[2]", "result": "left out",
         "reason": "not used here"},
    ]  # fmt: skip


def test_batch_statistics_follow_the_globs_of_their_layer():
    found = planned(saved(), state="model", include=["head"])
    assert found.taken == {
        "params": {"head": "params/head"}, "state": {}, "opt_state": {},
    }  # fmt: skip
    assert found.others["model state not included"] == ["batch_stats.enc.mean"]


def test_floats_of_another_width_are_taken_and_integers_are_not():
    assert planned(saved(dtype=F16)).diagnostics == []
    found = planned(saved(dtype=I32), include=["enc.b"])
    assert [str(diagnostic) for diagnostic in found.diagnostics] == [
        "enc.b: is int32[2] in the checkpoint. Expected float32[2]. "
        "warm_start.exclude=[enc.b] skips it."
    ]


def test_globs_and_patterns_that_match_nothing_warn():
    found = planned(
        saved(), vars_to_warm_start=["enc", "tail"], include=["**", "x.*"], exclude="yy"
    )
    assert [warning.problem for warning in found.warnings] == [
        "'tail' matches no parameter",
        "'x.*' matches no parameter",
        "'yy' matches no parameter",
    ]
    assert {row.array: row.cells()[3] for row in found.rows} == {
        "enc.a": "taken", "enc.b": "taken", "head": "initialized: not selected",
    }  # fmt: skip


@pytest.mark.parametrize("renames", [{"tail": "head"}, {"tail.**": "enc.**"}])
def test_a_rename_that_renames_nothing_is_an_error(renames):
    (diagnostic,) = planned(saved(), renames=renames).diagnostics
    assert str(diagnostic).startswith(
        f"WarmStartSettings.renames['{next(iter(renames))}']: is no parameter"
    )


def test_of_an_absent_parameter_the_near_miss_or_the_first_few_are_named():
    def hints(layer, **settings):
        (diagnostic, _) = planned(saved(layer), **settings).diagnostics
        return str(diagnostic).partition(" Expected float32[3,2]. ")[::2]

    absent = "enc.a: is absent in the checkpoint."
    assert hints("encoder") == (
        absent, "Did you mean encoder.a? renames={'enc.a': 'encoder.a'} takes it.",
    )  # fmt: skip
    assert hints("encoder", include=["**"]) == (
        absent,
        "Did you mean encoder.a? warm_start.renames={enc.a: encoder.a} takes it. "
        "warm_start.exclude=[enc.a] skips it.",
    )
    assert hints("backbone.layers.0") == (absent, "It has backbone.layers.0.a.")
    assert hints("encoder", renames={"enc.**": "encode.**"}) == (
        "enc.a: is absent, as encode.a, in the checkpoint.",
        "Did you mean encoder.a? renames={'enc.a': 'encoder.a'} takes it.",
    )
