"""Generated sections agree with the signatures that they are made from."""

import json
import re
from importlib import metadata
from pathlib import Path

import pytest

from specflow.config.common.optimizer_fields import DecayingConfig
from specflow.config.generated import common_optimizers, names, optax_optimizers
from tests.generate.entry_points import outdated
from tests.generate.optimizers import DEFAULTS, NOT_OFFERED
from tests.generate.outputs import FOLDER, outputs

SIGNATURES = json.loads(
    Path(__file__).with_name("optax_signatures.json").read_text(encoding="utf-8")
)
SECTIONS = {**common_optimizers.MEMBERS, **optax_optimizers.MEMBERS}
SHARED = {"name", "lr", *DecayingConfig.model_fields}


@pytest.mark.parametrize("path", outputs(), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path):
    assert path.read_text(encoding="utf-8") == outputs()[path], "run make generate"


def test_the_folder_holds_generated_files_only():
    python = {path for path in FOLDER.glob("*.py") if path.name != "__init__.py"}
    assert python == outputs().keys()


def test_kinds_that_the_installation_lacks_are_an_error():
    installed = metadata.distribution("specflow-jax").entry_points
    assert outdated(installed) is None
    older = [one for one in installed if one.name != "tfrecord"]
    assert outdated(older) == (
        "error: the installed specflow has other entry points than pyproject.toml "
        "(specflow.data: tfrecord), and kinds would be missing. Run pip install -e . "
        "first."
    )


def test_lists_of_names_match_the_modules():
    assert tuple(optax_optimizers.MEMBERS) == names.OPTAX_OPTIMIZERS


def test_the_oldest_supported_optax_is_recorded():
    (required,) = (
        requirement
        for requirement in metadata.requires("specflow-jax") or ()
        if requirement.startswith("optax")
    )
    assert re.search(r">=([\d.]+)", required)[1] in SIGNATURES


@pytest.mark.parametrize("version", SIGNATURES)
@pytest.mark.parametrize("name", SECTIONS)
def test_optax_accepts_every_field_with_the_same_default(name, version):
    arguments = SIGNATURES[version][name]
    for field, info in SECTIONS[name].model_fields.items():
        if field in SHARED - {"weight_decay"} or (
            field == "weight_decay" and field not in arguments
        ):
            continue
        if (name, field) not in DEFAULTS:
            assert arguments[field] == repr(info.default)


@pytest.mark.parametrize("version", SIGNATURES)
@pytest.mark.parametrize("name", SECTIONS)
def test_every_argument_of_optax_has_a_field_or_a_reason(name, version):
    arguments = SIGNATURES[version][name].keys()
    assert arguments - SECTIONS[name].model_fields.keys() <= NOT_OFFERED.keys()
