"""CPU seconds of a first step: tracing, lowering, compiling, initializing, running.

Usage: python first_step.py constants|inputs override ...
"""

import sys
import tempfile
import time

import jax
import numpy as np

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import Estimator

kind, *overrides = sys.argv[1:]
config = compose(overrides).config
data = build_data(config.data)
jax.block_until_ready(jax.numpy.zeros(1) + 1)  # The backend has started.
started = time.process_time()
estimator = Estimator.from_config(config, data=data, model_dir=tempfile.mkdtemp())
program = estimator.program
if kind == "constants":
    program.tracer.hyperparameters = None
form = estimator.batch_form(data.train, Mode.TRAIN)
state = program.init_state(0, *form)
features, labels = program.put(
    jax.tree.map(lambda rows: np.zeros((50, *rows.shape), rows.dtype), form), axis=1
)
state, *_ = jax.block_until_ready(program.train(state, features, labels, 0, 1))
first = time.process_time() - started
steps = []
for _ in range(20):
    started = time.process_time()
    state, *_ = jax.block_until_ready(program.train(state, features, labels, 0, 50))
    steps.append((time.process_time() - started) / 50)
print(first, sorted(steps)[10])
