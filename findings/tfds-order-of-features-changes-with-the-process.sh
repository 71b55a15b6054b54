#!/usr/bin/env bash
# tensorflow-datasets 4.9.10 (protobuf 7.36.2): `builder.info.features` of one prepared
# dataset has another order of its names in every process.
#
# The features are written to `features.json` through a protobuf map. That is read back in
# the order in which the map is iterated, which protobuf randomizes by process; PYTHONHASHSEED
# has no part in it. The process that prepares the dataset still has the declared order. So
# code that puts columns side by side by the names of `info.features` gives a model other
# columns in evaluation than in training, or in each process of a distributed run, and nothing
# is logged. The rows of `as_data_source` are sorted by name: their order is stable, and
# equals none of these.
#
# Boundary: builder_from_directory, no TensorFlow installed, records in ArrayRecord.
# Work around: take `sorted(info.features)`.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tensorflow-datasets==4.9.10 array-record==0.8.3 \
  protobuf==7.36.2 numpy==2.4.6 setuptools==80.9.0
cat >"$work/prepare.py" <<'PY'
import sys

import numpy as np
import tensorflow_datasets as tfds


class Patients(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        names = ("weight", "height", "pulse", "age", "glucose", "insulin")
        features = tfds.features.FeaturesDict({name: np.float32 for name in names})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, _):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for row in range(4):
            values = (70.0, 1.7, 60.0, 40.0, 5.0, 9.0)
            yield row, dict(zip(self.info.features, values, strict=True))


builder = Patients(data_dir=sys.argv[1], file_format="array_record")
builder.download_and_prepare()
print("declared", *builder.info.features)
PY
cat >"$work/read.py" <<'PY'
import sys

import tensorflow_datasets as tfds

builder = tfds.builder_from_directory(sys.argv[1])
row = builder.as_data_source("train")[0]
print(*builder.info.features, "| rows:", *row)
PY
export PYTHONHASHSEED=0
"$work/venv/bin/python" "$work/prepare.py" "$work/data" 2>"$work/log" || {
  cat "$work/log"
  exit 1
}
for _ in 1 2 3 4 5 6 7 8; do
  "$work/venv/bin/python" "$work/read.py" "$work/data/patients/1.0.0" 2>>"$work/log"
done >"$work/orders"
cat "$work/orders"
features="$(cut -d '|' -f 1 "$work/orders" | sort -u | wc -l)"
rows="$(cut -d '|' -f 2 "$work/orders" | sort -u | wc -l)"
echo "different orders in 8 processes: $features of info.features, $rows of the rows"
if [ "$features" -gt 1 ] && [ "$rows" -eq 1 ]; then
  echo "As recorded."
else
  echo "The behaviour changed."
  exit 1
fi
