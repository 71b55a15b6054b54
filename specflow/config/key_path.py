"""Key paths: the tensors of a spec, by name."""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from specflow.config.base import Component, Config, Says, Target

__all__ = ["ROOTS", "KeyPath", "key_paths"]

ROOTS = ("features", "labels", "outputs", "predictions", "targets", "losses")
"""First names of key paths."""


def _check_key_path(path: str) -> str:
    root, _, rest = path.partition(".")
    if root not in ROOTS:
        raise ValueError(f"a key path starts with one of {', '.join(ROOTS)}")
    if root in ("features", "predictions", "targets", "losses") and not rest:
        raise ValueError(f"'{root}' alone names no tensor; write {root}.<name>")
    return path


KeyPath = Annotated[
    str,
    AfterValidator(_check_key_path),
    Says(
        "a key path (features.<name>, labels, outputs, predictions.<name>, "
        "targets.<name> or losses.<name>)",
        r"^(labels|outputs)(\.|$)|^(features|predictions|targets|losses)\.[\s\S]",
    ),
]
"""`features.<name>`, `labels[.<name>]`, `outputs[.<name>]`, `predictions.<name>`,
`targets.<name>` (the labels of a prediction of the kind `rescale`, in the units of the
model's outputs) or `losses.<name>` (a declared loss before it is reduced: one value for
each example or token)."""


def key_paths(member: Config) -> dict[str, str]:
    """Field -> key path, of a section's fields that are key paths.

    A mapping of key paths has an entry `field.name` for each. Of a `Target`, every
    argument that starts like a key path is one.

    >>> class Softmax(Config):
    ...     of: KeyPath = "outputs"
    ...     weights: KeyPath | None = None
    ...     names: dict[str, KeyPath] = {"p": "predictions.p"}
    >>> key_paths(Softmax())
    {'of': 'outputs', 'names.p': 'predictions.p'}
    >>> key_paths(Target(_target_="my_package.loss", logits="outputs", scale="log"))
    {'logits': 'outputs'}
    """
    if isinstance(member, Target):
        return {
            key: value
            for key, value in member.arguments.items()
            if isinstance(value, str) and value.split(".")[0] in ROOTS
        }
    paths: dict[str, str] = {}
    for name, field in type(member).model_fields.items():
        # A section with an invalid field is checked without that field.
        value = getattr(member, name, None)
        if isinstance(member, Component) and name in member.open_fields:
            if isinstance(value, str) and value.split(".")[0] in ROOTS:
                paths[name] = value
            continue
        if not _holds_key_path(field):
            continue
        if isinstance(value, str):
            paths[name] = value
        elif isinstance(value, Mapping):
            paths |= {f"{name}.{key}": path for key, path in value.items()}
    return paths


def _holds_key_path(field: FieldInfo) -> bool:
    check = AfterValidator(_check_key_path)
    return check in field.metadata or any(
        check in getattr(member, "__metadata__", ())
        for member in get_args(field.annotation)
    )
