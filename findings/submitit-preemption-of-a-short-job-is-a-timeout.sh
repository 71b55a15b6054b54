#!/usr/bin/env bash
# submitit 1.5.4: a preemption counts as a time-out wherever timeout_min is at most 10.
#
# A job with a `checkpoint` method is queued again after a preemption as often as needed, and
# after a time-out `max_num_timeout` times. Both arrive as one signal, and submitit tells them
# apart by the time that the job has run: from min(0.8 T, T - 10 min) on, with T the limit, it
# is a time-out. For T up to 10 minutes that is at or below 0, so every preemption is one, a second
# after the start too: short jobs are queued again 3 times by default and then fail with
# "not requeued because: timed-out too many times". With 12 minutes the same job is queued.
#
# Work around: ask for more than 10 minutes.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q submitit==1.5.4 cloudpickle==3.1.3 typing_extensions==4.16.0
cat >"$work/job.py" <<'PY'
import os
import signal
import sys
import time
from pathlib import Path

import submitit


class Trial:
    """Waits for its preemption in its first attempt, and ends at once in the next."""

    def __init__(self, started, attempt=0):
        self.started, self.attempt = started, attempt

    def __call__(self):
        Path(f"{self.started}-{self.attempt}").write_text(str(os.getpid()))
        deadline = time.monotonic() + (60 if self.attempt == 0 else 0)
        while time.monotonic() < deadline:
            time.sleep(0.1)
        return f"ended in attempt {self.attempt}"

    def checkpoint(self):
        return submitit.helpers.DelayedSubmission(Trial(self.started, self.attempt + 1))


def outcome(work, minutes):
    executor = submitit.LocalExecutor(f"{work}/jobs", max_num_timeout=0)
    executor.update_parameters(timeout_min=minutes)
    job = executor.submit(Trial(f"{work}/started-{minutes}"))
    started = Path(f"{work}/started-{minutes}-0")
    while not (started.exists() and started.read_text()):
        time.sleep(0.1)
    os.kill(int(started.read_text()), signal.SIGUSR2)  # As Slurm does at a preemption.
    try:
        result = job.result()
    except Exception as error:  # noqa: BLE001
        result = type(error).__name__
    log = job.stderr() or ""
    reason = [line for line in log.splitlines() if "not requeued" in line]
    return result, "too many times" in "".join(reason)


if __name__ == "__main__":
    seen = {minutes: outcome(sys.argv[1], minutes) for minutes in (10, 12)}
    for minutes, (result, is_timeout) in seen.items():
        print(f"timeout_min={minutes}: {result}, counted as a time-out: {is_timeout}")
    again = seen[12] == ("ended in attempt 1", False)
    raise SystemExit(not (seen[10][1] and again))
PY
if "$work/venv/bin/python" "$work/job.py" "$work"; then
  echo "as recorded"
else
  echo CHANGED
  exit 1
fi
