#!/usr/bin/env bash
# ray 2.60.0: SIGINT is blocked in every worker, and so in every process that a task starts.
#
# A blocked signal is inherited over fork and exec. A program that a task starts with
# `subprocess` can't be interrupted by SIGINT, for all handlers that it sets: the signal stays
# pending. That is what a launcher of training runs, `Popen.send_signal(SIGINT)` or `kill -INT`
# uses to ask for a checkpoint and an orderly end. SIGTERM is not blocked. The same program,
# started by a plain Python process, has no blocked signals and ends.
#
# Work around: `signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})` in the program,
# or in a small wrapper that then starts it.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q ray==2.60.0
cat >"$work/tasks.py" <<'PY'
import signal
import subprocess
import sys

import ray

PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(3))
blocked = sorted(each.name for each in signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(blocked, flush=True)
time.sleep(60)
"""


def interrupted():
    """Blocked signals of a child, and its exit status 10 s after SIGINT, None: it runs."""
    command = [sys.executable, "-c", PROGRAM]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    blocked = child.stdout.readline().strip()
    child.send_signal(signal.SIGINT)
    try:
        return blocked, child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return blocked, None


if __name__ == "__main__":
    plain = interrupted()
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    in_task = ray.get(ray.remote(interrupted).remote())
    ray.shutdown()
    for name, (blocked, status) in {"plain": plain, "ray task": in_task}.items():
        print(f"{name:9} blocked {blocked}, status after SIGINT: {status}")
    raise SystemExit((plain, in_task) != (("[]", 3), ("['SIGINT']", None)))
PY
if HOME="$work" RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/tasks.py"; then
  echo "as recorded"
else
  echo CHANGED
  exit 1
fi
