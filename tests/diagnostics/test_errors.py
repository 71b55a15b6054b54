"""Errors carry faults, and are the plain kinds that their faults are."""

import subprocess
import sys

import numpy as np
import pytest

from specflow.contract import Mode, TPUEstimatorSpec
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    SpecError,
    did_you_mean,
    nearest,
    spec_error,
)
from specflow.diagnostics.rendering import report_error


class _Narrow(ValueError, RuntimeError):
    pass


@pytest.mark.parametrize(
    "kinds",
    [(ValueError, _Narrow), (_Narrow, RuntimeError), (TypeError, ValueError, _Narrow)],
)
def test_a_spec_error_is_every_kind_of_its_faults(kinds):
    """A kind together with one derived from it was no possible order of bases."""
    error = spec_error(*(Diagnostic("loss", "is odd", kind=kind) for kind in kinds))
    assert isinstance(error, SpecError)
    assert all(isinstance(error, kind) for kind in kinds)


def test_a_bad_loss_and_eval_tensors_that_do_not_fit_are_told_together():
    with pytest.raises(SpecError) as caught:
        TPUEstimatorSpec(
            mode=Mode.EVAL,
            loss=np.zeros(3, np.float32),
            eval_metrics=(lambda labels: {}, {"label": np.zeros(3)}),
        )
    assert [diagnostic.where for diagnostic in caught.value.diagnostics] == [
        "TPUEstimatorSpec.loss",
        "TPUEstimatorSpec.eval_metrics[1]",
    ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("admaw", "adamw"), ("ri", "r2"), ("fspd", "fsdp"), ("lrr", "lr"), ("x", "")],
)
def test_the_nearest_name_is_the_one_with_the_fewest_slips(typed, meant):
    """The longest common part alone made adamaxw of admaw, and nothing of ri."""
    known = ["adamaxw", "adamw", "r2", "mse", "fsdp", "data", "lr", "k"]
    assert did_you_mean(nearest(typed, known)) == (
        f"Did you mean {meant}?" if meant else ""
    )


def test_errors_and_warnings_are_names_of_specflow_and_load_no_jax():
    code = (
        "import sys, specflow as sf; "
        "print(issubclass(sf.UserCodeError, sf.SpecflowError), "
        "issubclass(sf.SpecflowWarning, UserWarning), 'jax' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "True True False\n"


def test_an_error_that_is_its_own_cause_is_reported(capsys):
    error = ConfigError(Diagnostic("data.files", "is odd", code="odd"))
    other = ConfigError(Diagnostic("data.files", "is odd, too", code="odd"))
    error.__cause__, other.__cause__ = other, error
    assert report_error(error) == 2
    assert capsys.readouterr().err == "error[odd] data.files: is odd.\n"
