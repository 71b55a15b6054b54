"""JSON Schema: it takes what Pydantic takes, and neither wrong keys nor wrong types."""

import copy
import functools
import json
import re
from typing import Annotated

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError, create_model
from referencing import Registry, Resource

from specflow.cli.main import main
from specflow.compose import compose
from specflow.compose.check.validate import validate
from specflow.compose.inspect.json_schema import as_text, header, schemas, write_schemas
from specflow.compose.inspect.schema_files import shared
from specflow.compose.provenance import Origins
from specflow.compose.read.config_folders import folders, shipped
from specflow.compose.read.documents import load
from specflow.compose.section_types import Slot
from specflow.config.base import Config
from specflow.config.experiment import ExperimentConfig

FOLDERS = folders()
SCHEMAS = schemas(FOLDERS)
VALIDATORS = {group: Draft202012Validator(each) for group, each in SCHEMAS.items()}
FILES = {str(file.relative_to(shipped()))[:-5]: file for file in FOLDERS.files()}
EXPERIMENTS = FOLDERS.choices("experiment")


def group_of(config):
    return config.split("/")[0] if "/" in config else "experiment"


def accepts(group, value):
    return VALIDATORS[group].is_valid(value)


class Yaml12(yaml.SafeLoader):
    """YAML 1.2, which editors read: `1_000` is a text to it.

    Source: YAML 1.2.2, 10.3.2, the tag resolution of the core schema.
    """

    yaml_implicit_resolvers = {}


for tag, pattern in {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
}.items():
    Yaml12.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), None
    )


@pytest.mark.parametrize("group", SCHEMAS)
def test_every_schema_is_a_valid_json_schema(group):
    Draft202012Validator.check_schema(SCHEMAS[group])


def test_every_section_and_the_experiment_have_a_schema():
    assert set(SCHEMAS) == set(FOLDERS.groups())


@pytest.mark.parametrize("config", FILES)
def test_every_shipped_file_fits_its_schema(config):
    validator = VALIDATORS[group_of(config)]
    assert list(validator.iter_errors(load(FILES[config], config).content)) == []
    as_editors_read_it = yaml.load(FILES[config].read_text(), Loader=Yaml12)
    assert list(validator.iter_errors(as_editors_read_it)) == []


@pytest.mark.parametrize("config", FILES)
def test_every_shipped_file_names_its_schema_where_the_server_reads_it(config):
    lines = FILES[config].read_text().splitlines()
    comments = lines[: next(at for at, one in enumerate(lines) if one[:1] != "#")]
    (line,) = (one for one in comments if "yaml-language-server" in one)
    assert line == header(config)
    path = line.partition("$schema=")[2]
    assert (FILES[config].parent / path).resolve() == (
        shipped() / "schema" / f"{group_of(config)}.json"
    )
    # Hydra stops reading at the first comment that is no header of its own.
    assert not any("@package" in one for one in lines[1:])


@pytest.mark.parametrize("group", SCHEMAS)
def test_the_shipped_schemas_are_those_of_the_types(group):
    """If not: `make generate`."""
    file = shipped() / "schema" / f"{group}.json"
    assert file.read_text(encoding="utf-8") == f"{shared(SCHEMAS)[group]}\n"


@functools.cache
def as_editors_read(group):
    """The shipped schema of a group; references lead to the other shipped files."""
    folder = shipped() / "schema"
    documents = {
        file.name: json.loads(file.read_text(encoding="utf-8"))
        for file in folder.glob("*.json")
    }
    registry = Registry().with_resources(
        (f"file:///{name}", Resource.from_contents(each))
        for name, each in documents.items()
    )
    root = {**documents[f"{group}.json"], "$id": f"file:///{group}.json"}
    return Draft202012Validator(root, registry=registry)


@pytest.mark.parametrize("config", FILES)
def test_references_between_the_shipped_schemas_resolve(config):
    content = load(FILES[config], config).content
    validator = as_editors_read(group_of(config))
    assert validator.is_valid(content)
    assert not validator.is_valid({**content, "no_such_key": 1})


def test_the_shipped_schemas_repeat_nothing():
    """Written out, they were 951 KB, before tables and records had their kinds."""
    files = (shipped() / "schema").glob("*.json")
    assert sum(file.stat().st_size for file in files) < 420_000


def test_a_users_folder_gets_the_same_header(project):
    project({"my_conf/experiment/mine.yaml": f"{header('experiment/mine')}\nseed: 1\n"})
    written = write_schemas("my_conf/schema", folders(["my_conf"]))
    assert "my_conf/schema/experiment.json" in map(str, written)
    (experiment,) = (file for file in written if file.name == "experiment.json")
    offered = json.loads(experiment.read_text())["$defs"]["choices.experiment"]
    assert "mine" in offered["anyOf"][0]["enum"]
    # The folder of schemas is no config group.
    assert "schema" not in folders(["my_conf"]).groups()


def places(tree, path=()):
    """Every key of a file that the types know, and what stands there."""
    for key, value in tree.items():
        if path or key not in ("defaults", "hydra"):
            yield (*path, key), value
            if isinstance(value, dict):
                yield from places(value, (*path, key))


def changed(content, path, change):
    content = copy.deepcopy(content)
    section = content
    for key in path[:-1]:
        section = section[key]
    change(section, path[-1])
    return content


# Below these, people choose the names.
FREE = ("predictions", "loss", "eval_metrics", "export_outputs", "inputs", "outputs",
        "logical")  # fmt: skip


def is_free(path):
    *above, _ = path
    return bool(above) and above[-1] in (*FREE, "exporters", "parts")


def misspell(section, key):
    section[f"{key}x"] = section.pop(key)


@pytest.mark.parametrize("config", FILES)
def test_no_misspelled_key_validates(config):
    content = load(FILES[config], config).content
    for path, _ in places(content):
        if not is_free(path):
            assert not accepts(group_of(config), changed(content, path, misspell)), path


@pytest.mark.parametrize("config", FILES)
def test_no_value_of_another_type_validates(config):
    content = load(FILES[config], config).content
    for path, value in places(content):
        wrong = 1.5 if isinstance(value, bool | str | list | dict) else {"a": 1}
        spoilt = changed(
            content, path, lambda at, key, new=wrong: at.update({key: new})
        )
        assert not accepts(group_of(config), spoilt), path


@pytest.mark.parametrize("config", FILES)
def test_an_interpolation_validates_for_any_value(config):
    content = load(FILES[config], config).content
    for path, _ in places(content):
        put = changed(content, path, lambda at, key: at.update({key: "${other.key}"}))
        assert accepts(group_of(config), put), path


@pytest.mark.parametrize(
    ("group", "value"),
    [
        ("model", {"_target_": "my_package.Net", "width": 3, "name": "x"}),
        ("optimizer", {"schedule": {"_target_": "optax.cosine_onecycle_schedule"}}),
        ("spec", {"model_fn": "my_package.model_fn", "params": {"a": [1]}}),
        ("spec", {"loss": {"mine": {"_target_": "my.loss", "logits": "outputs"}}}),
        ("loop", {"eval_every": "10m", "iterations_per_loop": "30s"}),
        ("loop", {"early_stopping": {"patience_steps": 5}}),
        ("data", {"train": "???", "name": "${oc.env:DATA}"}),
        ("output", {"exporters": {"best": {"_target_": "my.Exporter"}}}),
        ("experiment", {"defaults": ["/experiment/digits", "_self_"], "seed": 1}),
        ("experiment", {"optimizer": {"momentum": 0.9}, "hydra": {"job": {}}}),
    ],
)
def test_partial_configs_validate(group, value):
    assert accepts(group, value)


@pytest.mark.parametrize(
    ("group", "value"),
    [
        ("model", {"name": "cnnn"}),
        ("model", {"name": "mlp", "widths": [3]}),  # A field of another kind.
        ("model", {"widht": 3}),
        ("optimizer", {"lr": "fast"}),
        ("optimizer", {"lr": 0}),
        ("optimizer", {"schedule": {"name": "cosin"}}),
        ("spec", {"model_fn": "my_package.model_fn", "inputs": {}}),
        ("spec", {"predictions": {"not a name": {"name": "exp"}}}),
        ("spec", {"loss": {"x": {"name": "squared_error", "labels": "label"}}}),
        ("loop", {"eval_every": "10 minutes"}),
        ("loop", {"eval_every": -1}),
        ("loop", {"iterations_per_loop": 0}),
        ("mesh", {"defaults": {"mesh": "data"}}),
        ("experiment", {"mesh": {"defaults": []}}),
        ("experiment", {"sede": 1}),
    ],
)
def test_mistakes_do_not_validate(group, value):
    assert not accepts(group, value)


@functools.cache
def tree_of(experiment):
    return compose([f"experiment={experiment}"]).tree


SCALARS = st.sampled_from(
    [0, 1, 2, 7, -1, 0.5, 0.0, 2.0, True, False, None, "", "x", "10m", "1_0", "cnn"]
) | st.sampled_from(["outputs", "labels.x", "features.x", "losses.\n", "float32", "**"])
VALUES = SCALARS | st.lists(SCALARS, max_size=3)


@settings(max_examples=300)
@given(st.data())
def test_the_schema_accepts_what_pydantic_accepts(data):
    """Composed experiments with some values changed, some keys left out."""
    tree = copy.deepcopy(tree_of(data.draw(st.sampled_from(EXPERIMENTS))))
    for _ in range(data.draw(st.integers(1, 3))):
        path, _ = data.draw(st.sampled_from(list(places(tree))))
        change = data.draw(st.none() | VALUES.map(lambda value: {"to": value}))
        tree = changed(
            tree,
            path,
            lambda at, key, change=change: (
                at.pop(key) if change is None else at.update({key: change["to"]})
            ),
        )
    config, _ = validate(tree, Origins())
    assert config is None or accepts("experiment", tree)


def sections(group):
    """The sections that can stand at the root of a group's files."""
    if group == "experiment":
        return [ExperimentConfig]
    slot = Slot.of_field(ExperimentConfig.model_fields[group])
    return [*slot.members().values()] or [slot.parts()[0].annotation]


def fields():
    """Name -> type and schema, of every field of every such section but the root."""
    for group in SCHEMAS:
        for section in sections(group):
            name = section.__name__.removeprefix("_").removesuffix("Config")
            found = SCHEMAS["experiment"]["$defs"].get(name)
            for key, field in section.model_fields.items() if found else ():
                kind = field.annotation
                for mark in field.metadata:
                    kind = Annotated[kind, mark]
                part = found["properties"][field.alias or key]
                definitions = SCHEMAS["experiment"]["$defs"]
                validator = Draft202012Validator({**part, "$defs": definitions})
                holder = create_model("Holder", __base__=Config, field=(kind, ...))
                yield f"{group}: {name}.{key}", (holder, validator)


FIELDS = dict(fields())


@settings(max_examples=400)
@given(st.sampled_from(sorted(FIELDS)), VALUES)
def test_a_field_accepts_the_same_values_in_both(name, value):
    """But for texts, which may be replaced, and 2.0, an integer to JSON Schema."""
    holder, validator = FIELDS[name]
    try:
        holder.model_validate({"field": value})
        taken = True
    except ValidationError:
        taken = False
    fits = validator.is_valid(value)
    assert fits or not taken
    items = value if isinstance(value, list) else [value]
    if not any(isinstance(item, str | float) and item != 0.5 for item in items):
        assert taken or not fits


def test_the_command_prints_a_schema_and_knows_no_other_group(capsys):
    assert main(["schema", "mesh"]) == 0
    assert capsys.readouterr().out == as_text(SCHEMAS["mesh"]) + "\n"
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMAS["experiment"]
    assert main(["schema", "mash"]) == 2
    assert capsys.readouterr().err == (
        "error[unknown-choice] mash: is not a config group with a schema (command "
        "line). Did you mean mesh? Groups: data, loop, mesh, model, optimizer, output, "
        "spec, sweep, experiment.\n"
    )
