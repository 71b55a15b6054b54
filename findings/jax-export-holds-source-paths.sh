#!/usr/bin/env bash
# jax 0.10.2 (jaxlib 0.10.2), CPU: a program serialized by `jax.export` holds the absolute
# paths and the line numbers of the source files that it was traced in.
#
# The same two files of Python are put into two folders and run there: one has a function,
# the other exports it. `Exported.serialize()` has the folder's path, and the names of the
# files and of the functions, for the whole stack of calls of each operation, those of
# installed packages included. So equal models have different bytes in another folder, and
# after an edit of a comment above: a digest of the file says nothing of the model, and who
# receives it learns the names of the account and of the folders.
# jax_include_full_tracebacks_in_locations=False leaves the path of the innermost file; with
# jax_traceback_in_locations_limit=0 there is none, and the bytes of both folders are equal.
#
# Work around: set jax_traceback_in_locations_limit to 0 while exporting.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 flatbuffers==25.12.19
for folder in one two; do
  mkdir "$work/$folder"
  cat >"$work/$folder/network.py" <<'PY'
import jax.numpy as jnp


def network(x):
    return jnp.tanh(x @ x.T).sum(0)
PY
  cat >"$work/$folder/write.py" <<'PY'
import sys

import jax
import jax.export
from network import network

jax.config.update("jax_platforms", "cpu")
if len(sys.argv) > 2:
    jax.config.update(sys.argv[2], {"0": 0, "False": False}[sys.argv[3]])
form = jax.ShapeDtypeStruct((4, 4), "float32")
exported = jax.export.export(jax.jit(lambda x: network(x)))(form)
open(sys.argv[1], "wb").write(exported.serialize())
PY
done
write() {
  for folder in one two; do
    (cd "$work/$folder" && "$work/venv/bin/python" "$work/$folder/write.py" out "$@")
  done
}
compare() {
  "$work/venv/bin/python" - "$work" "$1" <<'PY'
import sys

work, setting = sys.argv[1:]
one, two = (open(f"{work}/{folder}/out", "rb").read() for folder in ("one", "two"))
paths = f"{work}/one/network.py".encode() in one
print(f"{setting:45} {len(one)} bytes, has the path: {paths}, equal: {one == two}")
bare = setting == "jax_traceback_in_locations_limit=0"
raise SystemExit((paths, one == two) != (not bare, bare))
PY
}
same=0
write && compare default || same=1
write jax_include_full_tracebacks_in_locations False && compare jax_include_full_tracebacks_in_locations=False || same=1
write jax_traceback_in_locations_limit 0 && compare jax_traceback_in_locations_limit=0 || same=1
[ "$same" -eq 0 ] && echo "as recorded" || { echo CHANGED; exit 1; }
