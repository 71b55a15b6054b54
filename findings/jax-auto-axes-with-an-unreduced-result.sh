#!/usr/bin/env bash
# jax 0.10.2 (jaxlib 0.10.2), CPU with 8 devices: `jax.sharding.auto_axes` with an
# `unreduced` out_sharding silently returns the number of devices times the result.
#
# Mesh of one Explicit axis `data` of 8 devices, `x` sharded over it by rows.
# `reshard(auto_axes(f, out_sharding=P(unreduced={"data"}))(x), P())` for f =
#   x.sum(0)              right
#   2 * x.sum(0)          8 times the right numbers
#   x.mean(0)             8 times
#   jnp.arange(1.0, 5.0)  8 times
# No error and no warning. With out_sharding=P() all four are right, and so is
# `reshard(reshard(y, P(unreduced={"data"})), P())` of a replicated y outside auto_axes.
# With the GSPMD partitioner (jax_use_shardy_partitioner=False) it is an AssertionError.
# It is what is asked for to accumulate gradients on each device and to reduce them once
# (a mean loss, a bias): some gradients come out right and others 8 times too large.
#
# Cause (inferred): auto_axes ends in `reshard(out, out_sharding)`, which marks the value
# as partial sums. Where it is whole already, because the compiler summed before the last
# operation, nothing divides it among the devices, and the second reshard adds up copies.
#
# Work around: give auto_axes an out_sharding without `unreduced`; partial sums in
# `jax.shard_map`, or by `reduced` operands of explicitly sharded products.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/run.py" <<'PY'
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jax.sharding import auto_axes, reshard

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
print("jax", jax.__version__)
rows = np.arange(1.0, 257.0, dtype=np.float32).reshape(64, 4)
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
UNREDUCED = P(unreduced={"data"})
CASES = [  # name, function, expected by NumPy, factor seen
    ("sum", lambda x: x.sum(0), rows.sum(0), 1),
    ("2 * sum", lambda x: 2 * x.sum(0), 2 * rows.sum(0), 8),
    ("mean", lambda x: x.mean(0), rows.mean(0), 8),
    ("constant", lambda x: jnp.arange(1.0, 5.0), np.arange(1.0, 5.0), 8),
]
same = True
with jax.set_mesh(mesh):
    x = jax.device_put(rows, NamedSharding(mesh, P("data")))
    for name, function, expected, seen in CASES:
        ways = {
            "auto_axes, unreduced": (
                lambda x: reshard(auto_axes(function, out_sharding=UNREDUCED)(x), P()),
                seen,
            ),
            "auto_axes, replicated": (auto_axes(function, out_sharding=P()), 1),
            "reshard alone": (
                lambda x: reshard(
                    reshard(auto_axes(function, out_sharding=P())(x), UNREDUCED), P()
                ),
                1,
            ),
        }
        for way, (run, factor) in ways.items():
            ratio = np.asarray(jax.jit(run)(x)) / expected
            same &= bool(np.allclose(ratio, factor, rtol=1e-5))
            print(f"{name:9} {way:22} result / expected {ratio}")
print("as recorded" if same else "CHANGED")
raise SystemExit(not same)
PY
"$work/venv/bin/python" "$work/run.py"
