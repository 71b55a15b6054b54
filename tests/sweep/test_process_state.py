import logging
import os
import random
import signal
import sys
import warnings

import jax
import numpy as np
import pytest

from specflow.sweep.pool.process_state import restored_process_state


def _environment():
    os.environ["SPECFLOW_TEST_ADDED"] = "1"
    os.environ.pop("HOME", None)
    os.environ["PATH"] = "elsewhere"


def _logging():
    logging.root.setLevel(logging.DEBUG)
    logging.root.addHandler(logging.NullHandler())
    own = logging.getLogger("specflow_test.made_inside")
    own.disabled, own.propagate = True, False


CHANGES = {
    "environment variables": (_environment, lambda: dict(os.environ)),
    "working directory": (lambda: os.chdir("/"), os.getcwd),
    "import path": (lambda: sys.path.insert(0, "x"), lambda: list(sys.path)),
    "random state of Python": (lambda: random.seed(3), random.getstate),
    "random state of NumPy": (
        lambda: np.random.seed(3),
        lambda: str(np.random.get_state()),
    ),
    "warning filters": (
        lambda: warnings.simplefilter("ignore"),
        lambda: list(warnings.filters),
    ),
    "loggers": (
        _logging,
        lambda: (
            logging.root.level,
            list(logging.root.handlers),
            logging.getLogger("specflow_test.made_inside").disabled,
        ),
    ),
    "signal handlers": (
        lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGUSR1),
    ),
    "settings of JAX": (
        lambda: jax.config.update("jax_debug_nans", True),
        lambda: jax.config.values["jax_debug_nans"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("error", [None, ValueError])
def test_what_a_trial_changes_is_restored(name, error):
    change, read = CHANGES[name]
    before = read()
    try:
        with restored_process_state():
            change()
            assert read() != before
            if error is not None:
                raise error
    except ValueError:
        assert error is ValueError
    assert read() == before
