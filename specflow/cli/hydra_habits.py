"""Options of Hydra's command line, and what takes their place."""

__all__ = ["answer"]

_ANSWERS = {
    ("--resolve",): "Interpolations are always resolved.",
    ("--package", "-p"): "specflow explain SECTION experiment=NAME shows one section.",
    ("--info", "-i"): (
        "specflow show gives the origin of each value, specflow explain KEY all layers."
    ),
    ("--config-name", "-cn"): "Choose with experiment=NAME.",
    ("--config-path", "-cp", "-cd"): "Name a folder of configs with --config-dir DIR.",
    ("--cfg", "-c"): "specflow show experiment=NAME shows the composed config.",
    ("--run", "-r"): "specflow train runs one experiment, and several with -m.",
    ("--experimental-rerun",): "specflow train run=DIR runs the config of a run again.",
    ("--shell-completion", "-sc"): "specflow completion SHELL prints the completion.",
    ("--hydra-help",): "Options of Hydra are overrides, such as hydra/launcher=NAME.",
    ("--multirun", "-m"): "specflow train -m runs a sweep.",
}


def answer(option: str) -> str:
    """Returns what takes the place of an option of Hydra; empty for any other.

    >>> answer("--config-name=digits")
    'Choose with experiment=NAME.'
    >>> answer("--nope")
    ''
    """
    name = option.partition("=")[0]
    return next((text for names, text in _ANSWERS.items() if name in names), "")
