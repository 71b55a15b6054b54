#!/usr/bin/env bash
# hydra-optuna-sweeper 1.3.0: a plain `pip install` of it, without --pre, brings a release
# candidate of hydra-core, under which its sweeps fail at the first trial.
#
# Two causes meet. The plugin requires `hydra-core>=1.1.0.dev7`; by the version specifier
# rules a specifier that names a pre-release admits pre-releases, so that pip takes
# 1.4.0rc3 (and with it omegaconf 2.4.1rc1) over the final 1.3.8. And hydra-core 1.4
# instantiates plugins with `_recursive_=False`, where 1.3 instantiated what they hold too:
# the plugin gets its sampler as a bare SamplerConfig in place of an Optuna sampler.
#
# Seen: versions as above; the sweep exits 1 with "Key 'infer_relative_search_space' not in
# 'SamplerConfig'". With hydra-core==1.3.8 in the same command, both trials run.
# Way around: `pip install hydra-optuna-sweeper "hydra-core<1.4"`.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cat >"$work/app.py" <<'PY'
import hydra


@hydra.main(version_base=None, config_path=None)
def main(config):
    return (config.x - 0.5) ** 2


main()
PY
changed=0

# sweep NAME EXPECTED_STATUS REQUIREMENT...
sweep() {
  local name="$1" expected="$2" status=0
  shift 2
  python3 -m venv "$work/$name"
  "$work/$name/bin/pip" install -q "$@"
  "$work/$name/bin/python" - <<'PY'
from importlib.metadata import requires, version

for name in ("hydra-optuna-sweeper", "hydra-core", "omegaconf", "optuna"):
    print(f"  {name} {version(name)}")
print("  the plugin requires", requires("hydra-optuna-sweeper"))
PY
  mkdir "$work/$name-run"
  (cd "$work/$name-run" && "$work/$name/bin/python" "$work/app.py" -m \
    hydra/sweeper=optuna hydra.sweeper.n_trials=2 "+x=interval(0,1)") \
    >"$work/$name.log" 2>&1 || status=$?
  grep -E "SamplerConfig'|Best value" "$work/$name.log" || true
  echo "  $name: sweep exits $status"
  [ "$status" -eq "$expected" ] || changed=1
}

sweep plain 1 hydra-optuna-sweeper==1.3.0
grep -q "infer_relative_search_space' not in 'SamplerConfig'" "$work/plain.log" || changed=1
"$work/plain/bin/python" -c '
from importlib.metadata import version
raise SystemExit("rc" not in version("hydra-core"))' || changed=1

sweep final 0 hydra-optuna-sweeper==1.3.0 hydra-core==1.3.8
grep -q "Best value" "$work/final.log" || changed=1

[ "$changed" -eq 0 ] && echo "as recorded" || echo "CHANGED"
exit "$changed"
