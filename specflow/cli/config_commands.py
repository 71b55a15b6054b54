"""`show`, `explain`, `diff` and `schema`: commands on configs, which load no JAX."""

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

from specflow.cli import options
from specflow.cli.command import usage
from specflow.cli.experiments import compose_experiment
from specflow.diagnostics.errors import ConfigError
from specflow.runtime import standard_streams

if TYPE_CHECKING:
    from specflow.config.experiment import ExperimentConfig
    from specflow.diagnostics.error_pages import ErrorPage

__all__ = ["diff", "explain", "schema", "show"]


def show(arguments: argparse.Namespace) -> int:
    """Prints the composed config, each line with its origin."""
    from specflow.compose import lines

    composed = compose_experiment(arguments, reads_data=False)
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document, origin

        origins = {key: origin(place) for key, place in composed.places.items()}
        dropped = [
            {
                "key": field.key,
                "value": field.value,
                "origin": origin(field.origin.exact),
                "by": origin(field.cause.exact),
            }
            for field in composed.dropped
        ]
        print(document(0, config=composed.tree, origins=origins, dropped=dropped))
        return 0
    _print_epochs(composed.config)
    by = arguments.trusted_at or "command line"
    dim = standard_streams.is_terminal(sys.stdout)
    for line in lines(composed, dim=dim, trusted_by=by):
        print(line)
    return 0


def _print_epochs(config: "ExperimentConfig") -> None:
    """Prints the steps of `loop.epochs`, if they are known without reading the data."""
    if config.loop.epochs is None:
        return
    from specflow.config.epochs import EpochLength
    from specflow.config.resolved_epochs import steps_of_epochs
    from specflow.data.known_rows import known_rows

    rows, key = known_rows(config.data), f"loop.epochs={config.loop.epochs:g}"
    note = f"{key}: its steps are known once the data is read, as check and train do"
    if rows is not None:
        note = steps_of_epochs(config, EpochLength(rows, config.loop.batch_size))
    print(f"note: {note}", file=sys.stderr)


def explain(arguments: argparse.Namespace) -> int:
    """Explains a key: its type, default, value and origin; or an error code."""
    from specflow.cli.error_codes import nearest_code, page_of

    overrides = [word for word in arguments.words if options.is_override(word)]
    keys = [word for word in arguments.words if not options.is_override(word)]
    if len(keys) > 1:
        raise ConfigError(usage(keys[1], "is a second key; one is explained at a time"))
    key = "".join(keys)
    if (page := page_of(key)) is not None:
        return _explain_code(page, as_json=arguments.report == "json")
    from specflow.compose.inspect.explain import explain
    from specflow.compose.inspect.explain_text import as_lines, as_plain

    try:
        explanation = explain(key, overrides, config_dirs=arguments.config_dir)
    except ConfigError as error:
        raise nearest_code(key, error) from None
    diagnostics = explanation.diagnostics
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        status = ConfigError.exit_code if diagnostics else 0
        print(document(status, diagnostics, **as_plain(explanation)))
        return status
    for line in as_lines(explanation):
        print(line)
    if diagnostics:
        raise ConfigError(*diagnostics)
    return 0


def _explain_code(page: "ErrorPage", *, as_json: bool) -> int:
    from specflow.diagnostics.error_pages import wrapped

    if as_json:
        from specflow.diagnostics.rendering import document

        print(document(0, **dataclasses.asdict(page)))
        return 0
    for line in wrapped(page):
        print(line)
    return 0


def diff(arguments: argparse.Namespace) -> int:
    """Compares two experiments; the status is 1 where they differ."""
    from specflow.compose.inspect.diff import as_lines, as_plain, compare
    from specflow.compose.inspect.experiment_sources import read_side

    folders = arguments.config_dir
    a = read_side(arguments.a, config_dirs=folders)
    b = read_side(arguments.b, config_dirs=folders)
    differences = compare(a, b)
    status = 1 if differences else 0
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        plain = as_plain(differences)
        print(document(status, a=a.name, b=b.name, differences=plain))
        return status
    for line in as_lines(differences, dim=standard_streams.is_terminal(sys.stdout)):
        print(line)
    return status


def schema(arguments: argparse.Namespace) -> int:
    """Prints or writes the JSON Schemas of config groups."""
    from specflow.compose.inspect.json_schema import as_text, schema_of, write_schemas
    from specflow.compose.read.config_folders import folders

    config_folders = folders(arguments.config_dir)
    if arguments.write is None:
        print(as_text(schema_of(arguments.group, config_folders)))
        return 0
    for file in write_schemas(arguments.write, config_folders):
        print(file)
    return 0
