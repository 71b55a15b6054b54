"""The run directory: what a run was, what it wrote, and whether it may go on."""

import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output.files import reported, set_aside, write_text
from specflow.output.json_values import to_json
from specflow.output.run.config_changes import changes
from specflow.output.run.lock import Lock
from specflow.output.run.package_versions import RECORDED_PACKAGES, package_versions
from specflow.output.run.revision import revisions
from specflow.runtime import project_file
from specflow.runtime.filesystem import check_output_folder, expanded
from specflow.runtime.run_projects import note

__all__ = [
    "RunDirectory",
    "check_resumable",
    "default_run_directory",
    "existing_run",
    "open_run",
    "rerun_directory",
]


@dataclasses.dataclass(frozen=True, slots=True)
class RunDirectory:
    """A run's folder: where each thing is, and how the small ones are written.

    Made by `open_run` (to write) or `existing_run` (to read).
    """

    path: Path
    resumed: bool = False
    """Whether a run was there before."""
    lock: Lock | None = None
    """Held while this process may write."""

    @property
    def config(self) -> Path:
        """The resolved config, as YAML."""
        return self.path / "config.yaml"

    @property
    def origins(self) -> Path:
        """Where each value of the config came from, as JSON."""
        return self.path / "origins.json"

    @property
    def manifest(self) -> Path:
        """Environment, versions, command line, program fingerprint, as JSON."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """A JSON object a line, one for each report."""
        return self.path / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """The outcome, as JSON; there only when the run is done."""
        return self.path / "result.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def curves(self) -> Path:
        """The metrics over the steps, as a picture."""
        return self.path / "curves.png"

    def load_config(self) -> dict[str, Any]:
        """The resolved config of this run, as plain values; nothing in it is run.

        Raises:
            ConfigError: the file is missing, or is not YAML of one mapping.
        """
        return _parsed_config(self.config)

    def load_manifest(self) -> dict[str, Any]:
        """What the manifest says; nothing where it is missing or damaged."""
        try:
            return dict(json.loads(self.manifest.read_text(encoding="utf-8-sig")))
        except (OSError, ValueError, TypeError):
            return {}

    def add_to_manifest(self, **facts: Any) -> None:
        """Lays facts that came later (backend, program fingerprint) over the manifest.

        Raises:
            OutputError: the file cannot be written.
        """
        former = json.loads(self.manifest.read_text(encoding="utf-8-sig"))
        write_text(self.manifest, to_json(former | facts))

    def write_result(
        self,
        step: int,
        *,
        evaluation: Mapping[str, Any],
        timing: Mapping[str, float],
        **facts: Any,
    ) -> None:
        """Writes `result.json`, the sign that the run is done: call it last.

        Args:
            step: the last training step.
            evaluation: metrics of the last evaluation, numbers or arrays; what is not
                finite becomes null.
            timing: seconds (or rates) by name.
            **facts: what else there is to say, as plain values.

        Raises:
            OutputError: the file cannot be written.
        """
        result = {"step": step, "eval": dict(evaluation), "timing": dict(timing)}
        result |= facts
        write_text(self.result, to_json(result))

    def close(self) -> None:
        """Lets another process write here."""
        if self.lock is not None:
            self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_run(
    directory: str | Path,
    config_yaml: str,
    *,
    origins: Mapping[str, Any] | None = None,
    argv: Sequence[str] = (),
    overrides: Sequence[str] = (),
    accept_changes: bool = False,
    check: Callable[[], None] | None = None,
    plugins: Mapping[str, tuple[str, str]] | None = None,
    config_dirs: Sequence[str | Path] = (),
) -> RunDirectory:
    """Makes a run directory, or takes up the run that is there; locked until closed.

    What a former start wrote is kept: `config.yaml`, `origins.json`, `manifest.json`
    and `result.json` become `config.1.yaml` and so on before new ones are written.

    Args:
        directory: `output.dir`; made if it is not there.
        config_yaml: the resolved config.
        origins: dotted key -> file:line or override that set it.
        argv: the command line.
        overrides: its overrides.
        accept_changes: go on although the config changes what is trained
            (`output.on_change=accept`).
        check: called before the first file is written; what it raises goes through.
        plugins: dotted key of each section that a plugin declares -> its package and
            that one's version.
        config_dirs: the user's own folders of configs. The manifest has the git commit
            of each repository in which one of them, the project file or the working
            directory lies.

    Raises:
        ConfigError: the directory holds something else, or a run of another config.
        OutputError: it cannot be written, or another process is writing it.
    """
    path = expanded(directory, "output.dir")
    origins = dict(origins or {})
    check_output_folder(directory, "output.dir", code="run-directory")
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)
    _refuse_strange_content(path)
    lock = Lock(path / ".lock")
    run = RunDirectory(path, resumed=(path / "config.yaml").exists(), lock=lock)
    try:
        if run.resumed and not accept_changes:
            _refuse_changes(run, config_yaml, origins)
        if check is not None:
            check()
        _start(
            run,
            config_yaml,
            origins,
            argv=argv,
            overrides=overrides,
            plugins=plugins or {},
            config_dirs=config_dirs,
        )
    except BaseException:
        lock.release()
        raise
    return run


def check_resumable(
    directory: str | Path, config_yaml: str, origins: Mapping[str, Any]
) -> None:
    """Refuses a directory that holds a run of another config, as `open_run` does.

    Args:
        directory: of a run, which need not be there yet.
        config_yaml: the resolved config that would run there.
        origins: dotted key -> file:line or override that set it.

    Raises:
        ConfigError: what is trained would change; each value is named.
    """
    run = RunDirectory(expanded(directory, "output.dir"))
    if run.config.exists():
        _refuse_changes(run, config_yaml, origins)


def existing_run(directory: str | Path) -> RunDirectory:
    """The run directory of a finished or stopped run, to read.

    Raises:
        ConfigError: there is no run.
    """
    run = RunDirectory(expanded(directory, "run"), resumed=True)
    if not run.config.is_file():
        problem = "holds no run" if run.path.is_dir() else "is no directory"
        raise ConfigError(
            Diagnostic(
                "run",
                f"'{directory}' {problem}",
                expected="a run directory, with its config.yaml",
                hint="Give the output.dir of a run, for example run=runs/digits/...",
                code="run-missing",
            )
        )
    return run


def default_run_directory(
    name: str, *, root: str | Path = "runs", now: datetime.datetime | None = None
) -> Path:
    """Makes and gives `runs/<name>/<YYYY-mm-dd_HH-MM-SS>`, one nobody else has.

    Args:
        name: name of the experiment.
        root: folder of all runs.
        now: local time; the clock's if None.

    Raises:
        OutputError: the directory cannot be made.
    """
    stamp = (now or datetime.datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    return _made(Path(root) / name / stamp, first=1)


def rerun_directory(run: str | Path) -> Path:
    """Makes and gives `<run>_2`, beside a run that is run again; or `_3`, and so on.

    Raises:
        OutputError: the directory cannot be made.
    """
    path = expanded(run, "run")
    return _made(path if path.name not in ("", "..") else path.resolve(), first=2)


def _made(path: Path, *, first: int) -> Path:
    """A new directory of this name, numbered from `first` where 1 is no number."""
    for number in itertools.count(first):
        free = path if number == 1 else path.with_name(f"{path.name}_{number}")
        with reported(free):
            # Made at once, so that two processes never share a name.
            with contextlib.suppress(FileExistsError):
                free.mkdir(parents=True)
                return free
    raise AssertionError


def _start(
    run: RunDirectory,
    config_yaml: str,
    origins: Mapping[str, Any],
    *,
    argv: Sequence[str],
    overrides: Sequence[str],
    plugins: Mapping[str, tuple[str, str]],
    config_dirs: Sequence[str | Path],
) -> None:
    """Writes what is known at the start; the former versions are kept."""
    set_aside(run.result)
    # What the run began with stays true of it.
    former = run.load_manifest() if run.resumed else {}
    for path in (run.manifest, run.origins):
        set_aside(path)
    if not run.resumed or run.config.read_text(encoding="utf-8-sig") != config_yaml:
        # Copied, not moved: a directory without config.yaml would be no run any more.
        set_aside(run.config, keep=True)
        write_text(run.config, config_yaml)
    write_text(run.origins, to_json(dict(origins)))
    manifest = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "argv": list(argv),
        "overrides": list(overrides),
        # From here count the relative paths of the config.
        "started_in": os.getcwd(),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "packages": package_versions(RECORDED_PACKAGES) | dict(plugins.values()),
    }
    in_project = project_file.active()
    own = [] if in_project is None else [in_project.folder]
    if commits := revisions([*own, *config_dirs, os.getcwd()]):
        manifest["git"] = commits
    if "warm_start" in former:
        manifest["warm_start"] = former["warm_start"]
    if plugins:
        manifest["plugins"] = {key: package for key, (package, _) in plugins.items()}
    write_text(run.manifest, to_json(manifest))
    if in_project is not None:
        note(run.path, in_project.folder)


def _refuse_strange_content(path: Path) -> None:
    if (path / "config.yaml").exists():
        return
    # Our own lock and temporary files begin with a dot.
    strange = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
    if strange:
        shown = ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")
        raise ConfigError(
            Diagnostic(
                "output.dir",
                f"'{path}' is not empty and holds no run ({shown})",
                expected="a new or empty directory, or one of a run",
                hint="Choose another output.dir.",
                code="run-directory",
            )
        )


def _refuse_changes(
    run: RunDirectory, config_yaml: str, origins: Mapping[str, Any]
) -> None:
    import yaml

    # Both sides are parsed alike, so that a number's spelling is no difference.
    former = run.load_manifest().get("started_in")
    found = changes(
        run.load_config(),
        yaml.safe_load(config_yaml),
        folders=(str(former or os.getcwd()), os.getcwd()),
    )
    if not found:
        return
    several = f"{len(found)} values" if len(found) > 1 else "one value"
    raise ConfigError(
        Diagnostic(
            "output.dir",
            f"'{run.path}' holds a run of another config: {several} would change what "
            "is trained",
            hint="Choose another output.dir, or go on with the new values by "
            "output.on_change=accept.",
            code="run-changed",
        ),
        *(
            Diagnostic(
                change.key,
                f"was {change.old}, is {change.new}",
                origin=str(origins.get(change.key, "")),
                code="run-changed",
            )
            for change in found
        ),
    )


def _parsed_config(path: Path) -> dict[str, Any]:
    import yaml

    config: Any = None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        problem = "" if isinstance(config, dict) else "holds no config"
    except FileNotFoundError:
        problem = "is missing"
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read: {error}"
    except yaml.YAMLError as error:
        problem = f"is no YAML: {' '.join(str(error).split())}"
    if problem:
        raise ConfigError(
            Diagnostic(
                str(path),
                problem,
                expected="the config.yaml that a run has written",
                hint="An older version may lie beside it as config.<n>.yaml.",
                code="run-config",
            )
        )
    return config
