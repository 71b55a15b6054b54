"""Writes the arguments of an estimator into its `model_dir`, for the command line.

A record contains names and plain values only; for a part without a name it has the
reason. It is data: `specflow evaluate run=DIR` imports only what the user trusts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from specflow.config.estimator_record import (
    RECORD,
    CannedRecord,
    PartRecord,
    RecordConfig,
)
from specflow.config.run_config import RunConfig
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.distributed import collectives
from specflow.estimator.importable import not_plain, part_of, script_folder
from specflow.output import write_text
from specflow.output.json_values import to_json
from specflow.runtime import run_projects

__all__ = ["Recorder"]


class Recorder:
    """Writes the record of an estimator when it has changed.

    Args:
        model_dir: parent of `estimator.json`.
        model_fn: the model function.
        model: argument of the estimator.
        eval_params: argument of the estimator.
        params: argument of the estimator.
        config: config of the estimator.
        mesh: argument of the estimator.
        devices: argument of the estimator.
        canned: class and arguments of a canned estimator, and argument -> why it cannot
            be recorded; None for any other estimator.
        others: `use_tpu` and the batch sizes.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        model_fn: Any,
        model: Any,
        eval_params: Any,
        params: Mapping[str, Any],
        config: RunConfig,
        mesh: MeshConfig | Mesh | None,
        devices: Any,
        canned: tuple[CannedRecord, dict[str, str]] | None = None,
        **others: Any,
    ):
        self._file = model_dir / RECORD
        self._written: RecordConfig | None = None
        problems = {}
        if problem := not_plain(dict(params), "params"):
            problems["params"] = f"{problem}. Give plain JSON values"
        axes = _mesh_fields(mesh)
        if devices is not None:
            problems["devices"] = "are chosen in Python. Leave them out"
        elif axes is None and mesh is not None:
            problems["mesh"] = "has axes of other names. Give a specflow.MeshConfig"
        fields = config.model_dump(
            mode="json", exclude_unset=True, exclude={"model_dir"}
        )
        self._record = RecordConfig(
            model_fn=None if canned is not None else part_of(model_fn),
            model=None if canned is not None else _optional(model),
            canned=None if canned is None else canned[0],
            eval_params=_optional(eval_params),
            params={} if "params" in problems else dict(params),
            config=fields,
            mesh=axes,
            problems=problems if canned is None else problems | canned[1],
            **others,
        )

    def evaluated(self, input_fn: Any, steps: int | None) -> None:
        """Adds the input of an evaluation to the record."""
        changes = {"input_fn": part_of(input_fn), "eval_steps": steps}
        self._record = self._record.model_copy(update=changes)

    def write(self) -> None:
        """Writes the record on process 0, if it has changed.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._written == self._record or not collectives.is_process_zero():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        plain = self._record.model_dump(exclude_defaults=True)
        write_text(self._file, to_json({"version": self._record.version, **plain}))
        run_projects.note(self._file.parent, script_folder())
        self._written = self._record


def _optional(value: Any) -> PartRecord | None:
    return None if value is None else part_of(value)


def _mesh_fields(mesh: MeshConfig | Mesh | None) -> dict[str, Any] | None:
    """Returns the config fields of a mesh; None if it has other axes."""
    if isinstance(mesh, MeshConfig):
        return mesh.model_dump(mode="json", exclude_unset=True)
    if not isinstance(mesh, Mesh) or not set(mesh.shape) <= {*AxesConfig.model_fields}:
        return None
    return {"axes": dict(mesh.shape), "rules": []}
