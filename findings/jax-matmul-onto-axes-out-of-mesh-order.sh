#!/usr/bin/env bash
# jax 0.10.2 (jaxlib 0.10.2), CPU with 8 devices: a matrix product is silently wrong when
# its result is sharded over mesh axes named in another order than the mesh has.
#
# Mesh (2, 2, 2) with axes a, b, c. `x @ h`, with the contracted dimension of `x` sharded
# over one axis and that of `h` over `b`. Result asked for as:
#   P(("a", "c"), "b")   right
#   P(("c", "a"), "b")   wrong: 64 of 128 numbers, off by up to 12 where values are about 4
#   P("b", ("c", "a"))   wrong: 64 of 128 as well
#   P(("c", "a"))        right: the third axis is needed
#   P(("c", "b"), "a")   right: out of order as well, with the axis of `h` in it
# No error and no warning of it. The same with Shardy and with GSPMD propagation, so that
# the cause is in what they share: the partitioning of the product (inferred). `x` sharded over a, b or c alike; replicated `x` is right. In a
# training step it is the gradient of a kernel, x.T @ g, that comes out wrong.
# Every sharding here is valid: device_put to it and back is exact.
#
# Work around: name the axes of a dimension in the order of the mesh.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/run.py" <<'PY'
import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
print("jax", jax.__version__)
rng = np.random.default_rng(0)
x = rng.normal(size=(8, 16)).astype(np.float32)
h = rng.normal(size=(16, 16)).astype(np.float32)
expected = x.astype(np.float64) @ h.astype(np.float64)
mesh = jax.make_mesh((2, 2, 2), ("a", "b", "c"), axis_types=(AxisType.Auto,) * 3)

CASES = [  # sharding of x, of the result, wrong numbers seen
    (P(None, "a"), P(("a", "c"), "b"), 0),
    (P(None, "a"), P(("c", "a"), "b"), 64),
    (P(None, "b"), P(("c", "a"), "b"), 64),
    (P(None, "c"), P(("c", "a"), "b"), 64),
    (P(), P(("c", "a"), "b"), 0),
    (P(None, "a"), P("b", ("c", "a")), 64),
    (P(None, "a"), P(("c", "a")), 0),
    (P(None, "a"), P(("c", "b"), "a"), 0),
]
same = True
for shardy in (True, False):
    jax.config.update("jax_use_shardy_partitioner", shardy)
    for sx, out, seen in CASES:
        there = jax.device_put(expected.astype(np.float32), NamedSharding(mesh, out))
        assert (np.asarray(there) == expected.astype(np.float32)).all()
        product = jax.jit(
            lambda x, h: x @ h,
            in_shardings=(NamedSharding(mesh, sx), NamedSharding(mesh, P("b"))),
            out_shardings=NamedSharding(mesh, out),
        )
        error = np.abs(np.asarray(product(x, h)) - expected)
        wrong = int((error > 1e-4).sum())
        same &= wrong == seen
        print(f"shardy={shardy!s:5} x {sx!s:20} result {out!s:24} "
              f"wrong {wrong:3} of {error.size}, largest error {error.max():.1e}")
print("as recorded" if same else "CHANGED")
raise SystemExit(not same)
PY
"$work/venv/bin/python" "$work/run.py"
