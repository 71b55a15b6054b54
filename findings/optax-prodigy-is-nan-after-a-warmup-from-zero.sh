#!/usr/bin/env bash
# optax 0.2.8: contrib.prodigy and contrib.dadapt_adamw turn every parameter to NaN if the
# learning rate of the first step is 0, as it is in each of optax's own warm-up schedules
# from 0, or if the first gradient is 0.
#
# Both estimate their step size by a quotient whose divisor is the L1 norm of an average
# of gradients times learning rates. It is 0 until a step has had both, the quotient is
# 0 / 0, and the larger of NaN and the estimate so far is NaN: the parameters are, after the
# first update (prodigy) or the second (dadapt_adamw), and stay so. The authors' own
# PyTorch implementations return early, or leave the estimate alone, in either case.
#
# A first gradient of 0 is met where a group of parameters has an optimizer of its own:
# matrices of LoRA before the ones that begin at 0, a branch behind a gate that begins at 0,
# a first batch without a labeled row.
#
# Seen, the sum of squared errors of six numbers after 50 updates, 6.11 before:
#                            prodigy    dadapt_adamw
#   learning rate 1          0.273      0.135
#   warm-up from 0           nan        nan
#   warm-up from 0.001       0.483      0.514
#   first gradient is 0      nan        nan
#
# Work around: a warm-up that begins above 0, or prodigy's safeguard_warmup=True, which
# leaves the learning rate out of the average (not out of the first gradient).
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/run.py" <<'PY'
import math

import jax
import jax.numpy as jnp
import optax

jax.config.update("jax_platforms", "cpu")
print("optax", optax.__version__)
target = jnp.arange(6.0) / 3


def error(params):
    return jnp.sum((params - target) ** 2)


def trained(make, rate, first=1.0, **options):
    transformation, params = make(rate, **options), jnp.zeros(6)
    state = transformation.init(params)
    for step in range(50):
        gradient = jax.grad(error)(params) * (1.0 if step else first)
        updates, state = transformation.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return float(error(params))


from_zero = optax.warmup_cosine_decay_schedule(0.0, 1.0, 10, 200)
above = optax.warmup_cosine_decay_schedule(1e-3, 1.0, 10, 200)
makers = optax.contrib.prodigy, optax.contrib.dadapt_adamw
ROWS = {
    "learning rate 1": [trained(make, 1.0) for make in makers],
    "warm-up from 0": [trained(make, from_zero) for make in makers],
    "warm-up from 0.001": [trained(make, above) for make in makers],
    "first gradient is 0": [trained(make, 1.0, first=0.0) for make in makers],
    "warm-up from 0, safeguard": [
        trained(optax.contrib.prodigy, from_zero, safeguard_warmup=True)
    ],
}
for name, errors in ROWS.items():
    print(f"{name:26}", *(f"{error:<10.3f}" for error in errors))
bad = {"warm-up from 0", "first gradient is 0"}
same = all(
    math.isnan(error) == (name in bad) for name, errors in ROWS.items() for error in errors
)
print("as recorded" if same else "CHANGED")
raise SystemExit(not same)
PY
"$work/venv/bin/python" "$work/run.py"
