"""Packages that provide Hydra's plugins, for the hint of a missing plugin."""

import dataclasses

from specflow.compose.read.unknown_choices import no_such_choice
from specflow.diagnostics.errors import Diagnostic

__all__ = ["no_plugin"]

_PACKAGES = {
    # It fails with Hydra 1.4.0rc3, which does not build its samplers.
    "hydra/sweeper/optuna": "hydra-optuna-sweeper==1.3.0",
    "hydra/sweeper/ax": "hydra-ax-sweeper",
    "hydra/sweeper/nevergrad": "hydra-nevergrad-sweeper",
    "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/ray": "hydra-ray-launcher",
    "hydra/launcher/rq": "hydra-rq-launcher",
    "hydra/launcher/submitit_local": "hydra-submitit-launcher",
    "hydra/launcher/submitit_slurm": "hydra-submitit-launcher",
}
"""Plugin -> the package that provides it."""
_MORE = {
    "hydra/sweeper/optuna": " It uses optuna 2, whose samplers need trust=optuna.",
}


def no_plugin(group: str, choice: str, options: list[str], origin: str) -> Diagnostic:
    """Reports a plugin that is not installed or does not exist."""
    diagnostic = no_such_choice(group, choice, options, origin)
    package = _PACKAGES.get(f"{group}/{choice}")
    if package is None:
        return diagnostic
    # The packages allow pre-releases of Hydra, so pip would install one.
    hint = f"Install it: pip install '{package}' 'hydra-core<1.4'."
    return dataclasses.replace(
        diagnostic,
        hint=f"{hint}{_MORE.get(f'{group}/{choice}', '')} {diagnostic.hint}".strip(),
    )
