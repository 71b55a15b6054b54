"""The run directory: its files, and the checks before it is created or resumed."""

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
from specflow.output.json_values import to_json, to_plain
from specflow.output.run.config_changes import changes
from specflow.output.run.lock import Lock
from specflow.output.run.package_versions import RECORDED_PACKAGES, package_versions
from specflow.output.run.revision import revisions
from specflow.runtime import project_file
from specflow.runtime.file_digests import seals, signed
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
    """Paths of a run's files, and writers of its JSON files.

    Created by `open_run` (to write) or `existing_run` (to read).
    """

    path: Path
    resumed: bool = False
    """True if the directory already had a run."""
    lock: Lock | None = None
    """Held while this process writes; None: the run is read only."""

    @property
    def config(self) -> Path:
        """The resolved config, as YAML."""
        return self.path / "config.yaml"

    @property
    def origins(self) -> Path:
        """Origin of each value of the config, as JSON."""
        return self.path / "origins.json"

    @property
    def manifest(self) -> Path:
        """Environment, versions, command line, program fingerprint, as JSON."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """Metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def columns(self) -> Path:
        """Fitted columns of a table, as JSON; exists for `data=table`."""
        return self.path / "columns.json"

    @property
    def files(self) -> Path:
        """Digests of the files of the data, as JSON; exists if there are any."""
        return self.path / "files.json"

    @property
    def result(self) -> Path:
        """The result, as JSON; exists only once the run is complete."""
        return self.path / "result.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def curves(self) -> Path:
        """Plots of the metrics over the steps."""
        return self.path / "curves.png"

    def load_config(self) -> dict[str, Any]:
        """Reads the resolved config, as plain values; imports nothing that it names.

        Raises:
            ConfigError: the file is missing, or is not a YAML mapping.
        """
        return _parsed_config(self.config)

    def load_manifest(self) -> dict[str, Any]:
        """Reads the manifest; empty if it is missing or damaged."""
        return self.load_json(self.manifest)

    @staticmethod
    def load_json(path: Path) -> dict[str, Any]:
        """Reads a JSON file of a run; empty if it is missing or damaged."""
        try:
            return dict(json.loads(path.read_text(encoding="utf-8-sig")))
        except (OSError, ValueError, TypeError):
            return {}

    def add_to_manifest(self, **values: Any) -> None:
        """Adds values (backend, program fingerprint) to the manifest.

        Raises:
            OutputError: the file cannot be written.
        """
        manifest = json.loads(self.manifest.read_text(encoding="utf-8-sig"))
        write_text(self.manifest, to_json(signed(to_plain(manifest | values))))

    def write_result(
        self,
        step: int,
        *,
        evaluation: Mapping[str, Any],
        timing: Mapping[str, float],
        **values: Any,
    ) -> None:
        """Writes `result.json`, which marks the run as complete: call it last.

        It has sizes and digests of the run's other files, and a digest of itself, for
        `specflow fsck`; when the run is resumed, it is renamed before they change.

        Args:
            step: the last training step.
            evaluation: metrics of the last evaluation, numbers or arrays; non-finite
                numbers become null.
            timing: seconds (or rates) by name.
            **values: further plain values.

        Raises:
            OutputError: the file cannot be written.
        """
        result = {"step": step, "eval": dict(evaluation), "timing": dict(timing)}
        result |= values
        result["files"] = seals(self.path, self.small_files())
        write_text(self.result, to_json(signed(to_plain(result))))

    def small_files(self) -> list[Path]:
        """The run's own files, without checkpoints and exports, which have digests."""
        patterns = ("tokenizer.*", "eval*/metrics.jsonl", "export/*/best.json")
        patterns = (*patterns, "tensorboard/*")
        named = [self.config, self.origins, self.manifest, self.columns]
        named += [self.files, self.metrics, self.curves]
        found = [path for each in patterns for path in sorted(self.path.glob(each))]
        return [path for path in [*named, *found] if path.is_file()]

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
    """Creates a run directory, or opens it to resume its run; locked until closed.

    Files of an earlier start are kept: `config.yaml`, `origins.json`, `manifest.json`
    and `result.json` become `config.1.yaml` and so on before new ones are written.

    Args:
        directory: `output.dir`; created if missing.
        config_yaml: the resolved config.
        origins: dotted key -> file:line or override that set it.
        argv: the command line.
        overrides: its overrides.
        accept_changes: resume although the config changes what is trained
            (`output.on_change=accept`).
        check: called before the first file is written; its errors propagate.
        plugins: dotted key of each section that a plugin declares -> its package and
            the version of that.
        config_dirs: the user's own folders of configs. The manifest has the git commit
            of each repository that contains one of them, the project file or the
            working directory.

    Raises:
        ConfigError: the directory holds something else, or a run of another config.
        OutputError: it cannot be written, or another process is writing it.
    """
    path = expanded(directory, "output.dir")
    origins = dict(origins or {})
    check_output_folder(directory, "output.dir", code="run-directory")
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)
    _refuse_unrelated_files(path)
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
        directory: of a run; it need not exist.
        config_yaml: the resolved config that would run there.
        origins: dotted key -> file:line or override that set it.

    Raises:
        ConfigError: values would change what is trained; each is named.
    """
    run = RunDirectory(expanded(directory, "output.dir"))
    if run.config.exists():
        _refuse_changes(run, config_yaml, origins)


def existing_run(directory: str | Path) -> RunDirectory:
    """Opens the directory of a finished or stopped run for reading.

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
    """Creates `runs/<name>/<YYYY-mm-dd_HH-MM-SS>` exclusively, and returns it.

    Args:
        name: name of the experiment.
        root: parent folder of all runs.
        now: local time; the current time if None.

    Raises:
        OutputError: the directory cannot be created.
    """
    stamp = (now or datetime.datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    return _made(Path(root) / name / stamp, first=1)


def rerun_directory(run: str | Path) -> Path:
    """Creates `<run>_2`, beside a run that is rerun (or `_3`, and so on); returns it.

    Raises:
        OutputError: the directory cannot be created.
    """
    path = expanded(run, "run")
    return _made(path if path.name not in ("", "..") else path.resolve(), first=2)


def _made(path: Path, *, first: int) -> Path:
    """Creates a directory of this name, numbered from `first`; 1 is not appended."""
    for number in itertools.count(first):
        free = path if number == 1 else path.with_name(f"{path.name}_{number}")
        with reported(free):
            # mkdir is exclusive, so that two processes never share a name.
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
    """Writes the files of the start; earlier versions are kept."""
    previous = run.load_manifest() if run.resumed else {}
    is_new = (
        not run.resumed or run.config.read_text(encoding="utf-8-sig") != config_yaml
    )
    # Copied, not moved, and before anything changes: on a full disk the run still has
    # its config and manifest.
    for path in (run.manifest, run.origins, *([run.config] if is_new else [])):
        set_aside(path, keep=True)
    set_aside(run.result)
    if is_new:
        write_text(run.config, config_yaml)
    write_text(run.origins, to_json(dict(origins)))
    manifest = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "argv": list(argv),
        "overrides": list(overrides),
        # Base folder of the relative paths in the config.
        "started_in": os.getcwd(),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "packages": package_versions(RECORDED_PACKAGES) | dict(plugins.values()),
    }
    in_project = project_file.active()
    project = [] if in_project is None else [in_project.folder]
    if commits := revisions([*project, *config_dirs, os.getcwd()]):
        manifest["git"] = commits
    # The initial values of a run do not change when it is resumed.
    if "warm_start" in previous:
        manifest["warm_start"] = previous["warm_start"]
    if plugins:
        manifest["plugins"] = {key: package for key, (package, _) in plugins.items()}
    manifest["files"] = seals(run.path, [run.config, run.origins])
    write_text(run.manifest, to_json(signed(to_plain(manifest))))
    if in_project is not None:
        note(run.path, in_project.folder)


def _refuse_unrelated_files(path: Path) -> None:
    if (path / "config.yaml").exists():
        return
    # The lock and temporary files begin with a dot.
    unrelated = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
    if unrelated:
        shown = ", ".join(unrelated[:3]) + (", ..." if len(unrelated) > 3 else "")
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

    # Both are parsed from YAML, so that the spelling of a number is no difference.
    started_in = run.load_manifest().get("started_in")
    differences = changes(
        run.load_config(),
        yaml.safe_load(config_yaml),
        folders=(str(started_in or os.getcwd()), os.getcwd()),
    )
    if not differences:
        return
    several = f"{len(differences)} values" if len(differences) > 1 else "one value"
    raise ConfigError(
        Diagnostic(
            "output.dir",
            f"'{run.path}' holds a run of another config: {several} would change what "
            "is trained",
            hint="Choose another output.dir, or resume with the new values: "
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
            for change in differences
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
        problem = f"is not valid YAML: {' '.join(str(error).split())}"
    if problem:
        raise ConfigError(
            Diagnostic(
                str(path),
                problem,
                expected="the config.yaml that a run has written",
                hint="An older version may be beside it, as config.<n>.yaml.",
                code="run-config",
            )
        )
    return config
