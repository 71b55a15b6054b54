"""Registration of the contract's types as pytrees, without importing JAX."""

import sys
from typing import TYPE_CHECKING, Any

from specflow.contract.host_pair import HostPair
from specflow.contract.mean_loss import MeanLoss

if TYPE_CHECKING:
    from specflow.contract.checked import Checked

__all__ = ["register"]

_registered: set[type] = set()


class _Static:
    """Fields of a spec without arrays: the static part of its tree structure.

    JAX compares and hashes it to decide whether two specs have the same structure: by
    value where a value is hashable, by identity where it is not.
    """

    def __init__(self, fields: dict[str, Any]):
        self.fields = fields

    def _key(self) -> tuple:
        return tuple((name, _hashable(value)) for name, value in self.fields.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def _split(part: "Checked") -> tuple[dict[str, Any], _Static]:
    """Splits fields into trees of arrays and the static remainder.

    Of a `HostPair` the tensors are arrays and the function is static; of a `MeanLoss`
    the parts are arrays.
    """
    arrays, static = {}, {}
    for name, value in vars(part).items():
        if isinstance(value, HostPair):
            arrays[name], static[name] = value.tensors, value.function
        elif isinstance(value, MeanLoss):
            arrays[name], static[name] = value.parts, MeanLoss
        elif name in part.ARRAYS:
            arrays[name] = value
        else:
            static[name] = value
    return arrays, _Static(static)


def _join(owner: type["Checked"], static: _Static, arrays: dict[str, Any]) -> "Checked":
    # JAX may pass placeholders for arrays, so nothing is validated here.
    fields = dict(arrays)
    for name in arrays.keys() & static.fields.keys():
        static_part = static.fields[name]
        if static_part is MeanLoss:
            fields[name] = MeanLoss.of(*arrays[name])
        else:
            fields[name] = HostPair(static_part, arrays[name])
    return owner.model_construct(**{**static.fields, **fields})


def register(owner: type["Checked"]) -> None:
    """Registers a class as a pytree, if JAX is imported; it is never imported here."""
    tree_util = getattr(sys.modules.get("jax"), "tree_util", None)
    if owner in _registered or tree_util is None:
        return
    _registered.add(owner)

    def flatten_with_keys(part: "Checked") -> tuple[list[tuple[Any, Any]], Any]:
        arrays, static = _split(part)
        keyed = [(tree_util.GetAttrKey(name), value) for name, value in arrays.items()]
        return keyed, (tuple(arrays), static)

    def unflatten(static: Any, values: Any) -> "Checked":
        names, fields = static
        return _join(owner, fields, dict(zip(names, values, strict=True)))

    tree_util.register_pytree_with_keys(owner, flatten_with_keys, unflatten)
