#!/usr/bin/env bash
# grain 0.2.18 (etils 1.15.0), jax 0.10.2: importing Grain in one thread can break a trace
# in another, rarely and with an error that names neither Grain nor threads.
#
# While it is imported, Grain runs `with etils.epy.lazy_imports():` around an import of its
# own. That replaces `builtins.__import__` for the whole process, and an import statement of
# any other thread that runs meanwhile gets a lazy module instead of what it names. JAX
# imports inside functions while it traces, so the trace fails where it uses the name:
# "'LazyModule' object is not callable", or "No module named
# 'jax._src.state.types.TransformedRef'; 'jax._src.state.types' is not a package". That was
# seen once in about a thousand starts which imported Grain in the background; here Grain's
# thread is held at that point, so that it happens each time.
#
# Boundary: any package that uses lazy_imports while it is imported, and any import in
# another thread. Work around: import such packages before other threads start.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grain==0.2.18 etils==1.15.0 jax==0.10.2 jaxlib==0.10.2 \
  numpy==2.4.6
cat >"$work/trace.py" <<'PY'
import builtins
import sys
import threading

import jax
import jax.numpy as jnp

jax.config.update("jax_platforms", "cpu")
alone = sys.argv[1] == "alone"
lazy, traced = threading.Event(), threading.Event()


def gather(x, indices):
    return jnp.take_along_axis(x, indices, axis=1)




def import_grain():
    import grain  # noqa: F401

    lazy.set()


def watch(frame, event, argument):
    """Of Grain's thread: waits at the import statement inside `lazy_imports()`."""
    name = frame.f_globals.get("__name__", "")
    if not name.startswith("grain"):
        return None
    if getattr(builtins.__import__, "func", None) is not None and not lazy.is_set():
        lazy.set()
        traced.wait(60)
    return watch


def run():
    sys.settrace(watch)
    import_grain()


threading.Thread(target=run, daemon=True).start()
lazy.wait(120)
if alone:
    traced.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(60)
try:
    jax.jit(gather).lower(jnp.ones((2, 3)), jnp.zeros((2, 1), int))
    print("traced")
except (ModuleNotFoundError, TypeError) as error:
    print(f"{type(error).__name__}: {error}")
    raise SystemExit(3) from None
finally:
    traced.set()
PY
status=0
"$work/venv/bin/python" "$work/trace.py" beside || status=$?
"$work/venv/bin/python" "$work/trace.py" alone || { echo CHANGED; exit 1; }
[ "$status" -eq 3 ] && echo "as recorded" || { echo CHANGED; exit 1; }
