#!/usr/bin/env bash
# tensorboardX 2.6.5, tensorboard 2.21.0: the HParams dashboard has the columns of one trial
# alone, though trials differ in their hyperparameters and metrics.
#
# `SummaryWriter.add_hparams`, called once a trial as documented, writes into each trial's
# file a description of the whole experiment, made of that trial's names alone. TensorBoard
# takes the first such description that it meets for all trials. So a search over
# optimizers, one of which has a momentum and another a beta2, shows one of the two columns,
# and a metric of one trial is absent; nothing is logged. The values are in the files: where
# these have no description, TensorBoard infers the columns from all trials.
#
# Work around: write the start and the end of each session without the description.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tensorboardX==2.6.5 tensorboard==2.21.0 protobuf==7.36.2 \
  numpy==2.4.6 setuptools==80.9.0
cat >"$work/write.py" <<'PY'
import sys

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

trials = [
    ({"optimizer": "sgd", "lr": 0.1}, {"loss": 0.5}),
    ({"optimizer": "momentum", "lr": 0.1, "momentum": 0.9}, {"loss": 0.4, "accuracy": 0.8}),
    ({"optimizer": "adam", "lr": 0.01, "beta2": 0.99}, {"loss": 0.3}),
]
folder, described = sys.argv[1:]
for number, (settings, metrics) in enumerate(trials):
    with SummaryWriter(f"{folder}/{number}") as writer:
        if described == "yes":
            writer.add_hparams(settings, metrics, name=".")
        else:
            _, start, end = hparams(settings, metrics)
            writer.file_writer.add_summary(start)
            writer.file_writer.add_summary(end)
            for name, value in metrics.items():
                writer.add_scalar(name, value)
PY
cat >"$work/read.py" <<'PY'
import json
import socket
import subprocess
import sys
import time
import urllib.request

folder, described = sys.argv[1:]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder]
command += ["--host", "127.0.0.1", "--port", str(port)]
server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
url = f"http://127.0.0.1:{port}/data/plugin/hparams/experiment"
request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})
answer = {}
try:
    for _ in range(120):
        time.sleep(1)
        try:
            answer = json.load(urllib.request.urlopen(request))
        except OSError:
            continue
        if answer.get("hparamInfos") and answer.get("metricInfos"):
            break
finally:
    server.terminate()
    server.wait()
names = {each["name"] for each in answer["hparamInfos"]}
metrics = {each["name"]["tag"] for each in answer["metricInfos"]}
print(f"described: {described:3}  hyperparameters {sorted(names)}, metrics {sorted(metrics)}")
every = {"optimizer", "lr", "momentum", "beta2"}
complete = names == every and metrics == {"loss", "accuracy"}
raise SystemExit(complete if described == "yes" else not complete)
PY
same=0
for described in yes no; do
  "$work/venv/bin/python" "$work/write.py" "$work/$described" "$described"
  "$work/venv/bin/python" "$work/read.py" "$work/$described" "$described" || same=1
done
[ "$same" -eq 0 ] && echo "as recorded" || { echo CHANGED; exit 1; }
