#!/usr/bin/env bash
# optax 0.2.7 beside jax 0.10.2: `import optax` raises, although its metadata admits any
# newer jax and pip installs the pair without a warning.
#
# A project that pins optax alone, as `optax==0.2.7`, breaks when jax is upgraded below it.
# Boundary: optax 0.2.8 with the same jax imports. jax alone is not at fault: the option
# that optax 0.2.7 sets when it is imported was removed after its deprecation.
# Seen: versions as above, `AttributeError: Unrecognized config option:
# jax_pmap_shmap_merge`.
# Workaround: require optax>=0.2.8 with jax>=0.10, or jax<0.10 with optax 0.2.7.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
changed=0

# pair OPTAX EXPECTED_STATUS
pair() {
  local status=0
  python3 -m venv "$work/$1"
  "$work/$1/bin/pip" install -q "optax==$1" jax==0.10.2 jaxlib==0.10.2
  "$work/$1/bin/python" -c '
from importlib.metadata import requires
print("  requires", *(line for line in requires("optax") if line.startswith("jax") and "extra" not in line))'
  "$work/$1/bin/python" -c 'import optax; print("  imports", optax.sgd(0.1).init)' \
    >"$work/$1.log" 2>&1 || status=$?
  echo "  optax $1 with jax 0.10.2: import exits $status: $(tail -1 "$work/$1.log")"
  [ "$status" -eq "$2" ] || changed=1
}

pair 0.2.7 1
grep -q "jax_pmap_shmap_merge" "$work/0.2.7.log" || changed=1
pair 0.2.8 0

[ "$changed" -eq 0 ] && echo "as recorded" || echo "CHANGED"
exit "$changed"
