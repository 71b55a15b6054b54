#!/usr/bin/env bash
# optax 0.2.8: MultiSteps forwards extra arguments of `update` when called by itself, and
# loses them silently inside any other transformation.
#
# `MultiSteps.update` takes **extra_args and hands them to what it wraps. But neither the
# object nor `MultiSteps.gradient_transformation()` is a GradientTransformationExtraArgs
# (the latter returns a plain GradientTransformation around the very method that takes
# them), and `with_extra_args_support`, through which chain, named_chain, masked, partition
# and apply_if_finite pass their members, decides by isinstance alone: what is no
# instance has its extra arguments deleted.
#
# Seen, for a transformation that scales by an optional extra argument (0.25 given, default
# 1.0): 0.25 when MultiSteps is called directly, 1.0 through every combinator. Where the
# argument is required (`value` of contrib.reduce_on_plateau) it is a TypeError that says
# the argument is missing though the caller gave it.
#
# Work around: GradientTransformationExtraArgs(steps.init, steps.update).
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/run.py" <<'PY'
import jax
import jax.numpy as jnp
import optax

jax.config.update("jax_platforms", "cpu")
print("optax", optax.__version__)


def update(updates, state, params=None, *, scale=1.0, **extra):
    return jax.tree.map(lambda g: g * scale, updates), state


scaled = optax.GradientTransformationExtraArgs(lambda p: optax.EmptyState(), update)
steps = optax.MultiSteps(scaled, every_k_schedule=1)
plain = steps.gradient_transformation()
kept = optax.GradientTransformationExtraArgs(steps.init, steps.update)
CASES = {  # name: (transformation, first update of a gradient of 1 with scale=0.25)
    "scaled by itself": (scaled, 0.25),
    "chain(scaled)": (optax.chain(scaled), 0.25),
    "MultiSteps by itself": (steps, 0.25),
    "gradient_transformation() by itself": (plain, 0.25),
    "chain(MultiSteps)": (optax.chain(steps), 1.0),
    "chain(gradient_transformation())": (optax.chain(plain), 1.0),
    "named_chain": (optax.named_chain(("s", steps)), 1.0),
    "masked": (optax.masked(steps, True), 1.0),
    "partition": (optax.partition({"s": steps}, "s"), 1.0),
    "apply_if_finite": (optax.apply_if_finite(steps, 3), 1.0),
    "chain(work-around)": (optax.chain(kept), 0.25),
}
params = jnp.ones(2)
same = True
for name, (tx, seen) in CASES.items():
    got = float(tx.update(params, tx.init(params), params, scale=0.25)[0][0])
    same &= got == seen
    print(f"{name:36} {got}")

plateau = optax.contrib.reduce_on_plateau(patience=1, accumulation_size=1)
tx = optax.chain(optax.MultiSteps(plateau, every_k_schedule=1))
try:
    tx.update(params, tx.init(params), params, value=jnp.float32(1.0))
    same = False
except TypeError as error:
    same &= "'value'" in str(error)
    print("reduce_on_plateau in MultiSteps in chain: TypeError:", error)
print("as recorded" if same else "CHANGED")
raise SystemExit(not same)
PY
"$work/venv/bin/python" "$work/run.py"
