"""JSON Schemas of config files, with which editors complete and check YAML.

A file may be partial, as it is merged with others. So no key is required, and a section
that names no kind may have the fields of any of its kinds. Every value may be an
interpolation `${...}`, or `???` if another layer sets it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.compose.inspect.schema_files import shared
from specflow.compose.inspect.schema_writer import Writer
from specflow.compose.inspect.section_docs import fields_about
from specflow.compose.read.config_folders import Folders
from specflow.compose.section_types import ROOT, Slot
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    OutputError,
    did_you_mean,
    nearest,
)
from specflow.runtime.filesystem import check_output_folder, expanded

__all__ = ["as_text", "header", "schema_of", "schemas", "write_schemas"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = "schema"
"""Folder of the schemas, next to the groups."""
EXPERIMENT = "experiment"


def schemas(folders: Folders) -> dict[str, dict[str, Any]]:
    """Returns the schema of every group of sections, and of experiments."""
    return {group: schema_of(group, folders) for group in _groups(folders)}


def schema_of(group: str, folders: Folders) -> dict[str, Any]:
    """Returns the JSON Schema of the files of a config group.

    Args:
        group: a section, or `experiment`.
        folders: config folders, whose choices are completed in defaults lists.

    Raises:
        ConfigError: there is no such group, or its files have no fixed schema.

    >>> from specflow.compose.read.config_folders import folders
    >>> schema = schema_of("mesh", folders())
    >>> schema["properties"]["pretend_devices"]["type"], schema["additionalProperties"]
    (['integer', 'string', 'null'], False)
    """
    if group not in (known := _groups(folders)):
        near = did_you_mean(nearest(group, known))
        raise ConfigError(
            Diagnostic(
                group,
                "is not a config group with a schema",
                hint=f"{near} Groups: {', '.join(known)}.".strip(),
                origin="command line",
                code="unknown-choice",
            )
        )
    file = {"defaults": _defaults(folders)}
    if group == EXPERIMENT:
        slot, title = ROOT, "A specflow experiment."
        file["hydra"] = {
            "description": "Settings of Hydra itself: sweeper and launcher."
        }
    else:
        slot = Slot.of_field(ExperimentConfig.model_fields[group])
        about_section = fields_about(ExperimentConfig).get(group, "")
        title = f"Section `{group}` of a specflow experiment. {about_section}".strip()
    writer = Writer()
    for name in folders.groups():
        choices: list[Any] = [*folders.choices(name), None]
        # Other folders may have more choices.
        writer.definitions[_choices(name)] = {"anyOf": [{"enum": choices}, {}]}
    body = writer.root(slot, file)
    return {
        "$schema": DIALECT,
        "title": title,
        **{key: value for key, value in body.items() if key != "description"},
        "$defs": dict(sorted(writer.definitions.items())),
    }


def write_schemas(folder: str | Path, folders: Folders) -> list[Path]:
    """Writes the schema of every group into a folder, and returns the files.

    Raises:
        ConfigError: the path is not a folder.
        OutputError: a file cannot be written.
    """
    check_output_folder(folder, "--write")
    folder = expanded(folder, "--write")
    texts = {
        folder / f"{group}.json": f"{text}\n"
        for group, text in shared(schemas(folders)).items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            Diagnostic(
                str(folder), f"cannot be written: {reason}", code="output-unwritable"
            )
        ) from None
    return [*texts]


def as_text(schema: Mapping[str, Any]) -> str:
    """Returns the text of a schema file."""
    text = json.dumps(schema, indent=1, ensure_ascii=False)
    # Lists of plain values take one line.
    return re.sub(r"\[\n\s+([^][{}]*?)\n\s+\]", _on_one_line, text)


def header(config: str) -> str:
    """Returns the line that names a config's schema to the YAML language server.

    It is the same for shipped files and for those of a user's folder, where
    `specflow schema --write my_conf/schema` writes the schemas to the same relative
    path. A `# @package` line must precede it: Hydra reads only the first lines.

    >>> header("mesh/fsdp")
    '# yaml-language-server: $schema=../schema/mesh.json'
    """
    *folders, _ = config.split("/")
    group = folders[0] if folders else EXPERIMENT
    return (
        f"# yaml-language-server: $schema={'../' * len(folders)}{FOLDER}/{group}.json"
    )


def _groups(folders: Folders) -> list[str]:
    there = folders.groups()
    known = [*sorted(ExperimentConfig.model_fields), EXPERIMENT]
    return [group for group in known if group in there]


def _on_one_line(match: re.Match[str]) -> str:
    items = re.sub(r",\n\s+", ", ", match[1])
    return f"[{items}]"


def _defaults(folders: Folders) -> dict[str, Any]:
    """Returns the schema of a defaults list."""
    groups = folders.groups()
    keys = [*groups, *(f"override /{group}" for group in groups)]
    entry = {
        "type": "object",
        "maxProperties": 1,
        "properties": {
            key: {"$ref": f"#/$defs/{_choices(key.split('/')[-1])}"} for key in keys
        },
    }
    return {
        "description": "Configs merged with this file, in order; _self_ is this file.",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, entry]},
    }


def _choices(group: str) -> str:
    return f"choices.{group}"
