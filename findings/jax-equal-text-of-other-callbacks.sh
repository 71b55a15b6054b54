#!/usr/bin/env bash
# jax 0.10.2 (jaxlib 0.10.2), CPU: programs that call different Python functions have the
# same text, lowered and compiled, so a digest of the text does not identify a program.
#
# `jax.pure_callback`, `jax.experimental.io_callback` and `jax.debug.print` in a jitted
# function; two functions that differ in nothing but what the callback returns or prints.
# `Lowered.as_text()` is equal, with debug_info=True too, and so is `Compiled.as_text()`:
# the custom call holds the position of the callback among those of its program (always 0
# here). The two executables call their own functions nevertheless: 1.0 and 2.0.
# The values of arrays that a function closes over are in the text, up to 100,000 numbers.
#
# Who stores executables or results by that text (a cache of executables in a process,
# a fingerprint that says "the same program") gets the callback of the first program.
# Walk the jaxpr for primitives with `callback` in their name, and ask for `effects`.
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
from jax.experimental import io_callback

jax.config.update("jax_platforms", "cpu")
print("jax", jax.__version__)
FORM = jax.ShapeDtypeStruct((), np.float32)


def pure(number):
    return lambda x: x + jax.pure_callback(lambda: np.float32(number), FORM)


def io(number):
    return lambda x: x + io_callback(lambda: np.float32(number), FORM)


def printing(number):
    def function(x):
        jax.debug.print(f"{number} {{}}", x)
        return x + 0 * number

    return function


def closed_over(number):
    values = number * np.ones(100_000, np.float32)
    return lambda x: x + jnp.asarray(values).max()


same = True
for make, equal in ((pure, True), (io, True), (printing, True), (closed_over, False)):
    lowered = [jax.jit(make(number)).lower(np.float32(0)) for number in (1, 2)]
    compiled = [one.compile() for one in lowered]
    texts = [
        lowered[0].as_text() == lowered[1].as_text(),
        lowered[0].as_text(debug_info=True) == lowered[1].as_text(debug_info=True),
        compiled[0].as_text() == compiled[1].as_text(),
    ]
    results = [float(one(np.float32(0))) for one in compiled]
    print(f"{make.__name__:12} equal texts {texts}, results {results}")
    same &= (texts[0], texts[2]) == (equal, equal) and (not equal or texts[1])
    same &= results == ([0.0, 0.0] if make is printing else [1.0, 2.0])
print("as recorded" if same else "CHANGED")
raise SystemExit(not same)
PY
"$work/venv/bin/python" "$work/run.py"
