"""The files of a run's data, which a run that is resumed must find unchanged."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from specflow.columns import FittedColumns
from specflow.data import Data, DataFiles
from specflow.data.table.image_folder import image_folder
from specflow.data.table.picture_files import named_pictures, pictures_of_folders
from specflow.data.table.table_changes import refused_changes
from specflow.diagnostics.errors import DataError
from specflow.diagnostics.rendering import line
from specflow.estimator.columns_state import changed_columns
from specflow.output import Checkpointer, RunDirectory, write_text
from specflow.output.files import replacing
from specflow.output.json_values import to_json
from specflow.runtime.filesystem import expanded

__all__ = [
    "DataLock",
    "check_files",
    "naming_pictures",
    "stored_columns",
    "stored_tokenizer",
    "write_files",
]


def check_files(
    run: RunDirectory, data: Data, *, accepts: bool, fitted: Collection[str] = ()
) -> None:
    """Compares the files of some data with those that a run has recorded.

    Args:
        run: its directory; there need be no run.
        data: with the files of now.
        accepts: print changes as warnings, but for those of `fitted`.
        fitted: files that the run's columns were fitted to.

    Raises:
        DataError: files have changed; they are named.
    """
    if not run.files.is_file():
        return
    plain = RunDirectory.load_json(run.files)
    changed = DataFiles.from_json(plain, where=str(run.files)).changes(data.files)
    folders = tuple(f"{name.rstrip('/')}/" for name in fitted)
    final = [
        each
        for each in changed
        if each.where in fitted or each.where.startswith(folders)
    ]
    if not accepts and changed:
        accept = ", or resume with the new ones: output.on_change=accept"
        hint = "Restore the files{} train in another output.dir{}."
        ends = (", or", "") if final else (",", accept)
        raise refused_changes(changed, hint.format(*ends))
    if final:
        raise refused_changes(final)
    for diagnostic in changed:
        print(line(diagnostic, kind="warning"), file=sys.stderr)


@contextmanager
def naming_pictures(run: RunDirectory) -> Iterator[None]:
    """Names pictures in place of their folder, in an error of files that have changed.

    Args:
        run: has the digests of the pictures.

    Raises:
        DataError: of the block, or in place of it.
    """
    try:
        yield
    except DataError as error:
        if named := _named(run, error):
            raise named from error
        raise


def _named(run: RunDirectory, error: DataError) -> DataError | None:
    """The error of changed pictures; None: no folder of them has changed."""
    if not run.files.is_file():
        return None
    plain = RunDirectory.load_json(run.files)
    known = DataFiles.from_json(plain, where=str(run.files)).known_pictures
    changed = [each for each in error.diagnostics if each.code == "table-changed"]
    paths = {each.where: expanded(each.where, "data.root") for each in changed}
    folders = [
        image_folder(name, path, key="data.root")
        for name, path in paths.items()
        if path.is_dir()
    ]
    if not folders:
        return None
    now = pictures_of_folders(folders)
    named = list(named_pictures(error.diagnostics, known, now))
    return refused_changes(named, error.diagnostics[0].hint)


def write_files(run: RunDirectory, data: Data) -> None:
    """Records the files of some data, if it has any, and copies its tokenizers.

    Raises:
        OutputError: the file cannot be written.
    """
    if data.files:
        write_text(run.files, to_json(data.files.to_json()))
    for name, tokenizer in data.tokenizer_files().items():
        with replacing(run.path / name) as new:
            tokenizer.write(new)


def stored_tokenizer(run: RunDirectory, part: str | None = None) -> Path | None:
    """The file of a run's tokenizer; None: its tokens are bytes, or other data.

    Args:
        run: its directory.
        part: of a mixture; None: the data is none.
    """
    name = "tokenizer" if part is None else f"tokenizer.{part}"
    files = (run.path / f"{name}{suffix}" for suffix in (".json", ".model"))
    return next((file for file in files if file.is_file()), None)


def stored_columns(run: RunDirectory) -> FittedColumns | None:
    """The fitted columns of a run, which process 0 alone may be able to read.

    Raises:
        DataError: they are damaged.
    """
    if run.columns.is_file():
        return FittedColumns.read(run.columns)
    # The file is lost: every checkpoint has the columns as well.
    checkpoints = Checkpointer(run.checkpoints)
    step = checkpoints.latest_step()
    if step is None:
        return None
    plain = checkpoints.data_position(step).get("columns")
    return plain and FittedColumns.from_json(plain, where=str(run.columns))


class DataLock:
    """The data of an experiment in Python, and the run directory that records it.

    Args:
        directory: of the run.
        data: of the experiment.
        accepts: see `check_files`.
        refits: columns are fitted anew, to whatever the files are now.
    """

    def __init__(self, directory: Path, data: Data, *, accepts: bool, refits: bool):
        self._run, self._data = RunDirectory(directory), data
        self._accepts, self._refits = accepts, refits
        self._is_checked = False

    def check_columns(self) -> None:
        """Compares the fitted columns with those of the run.

        Raises:
            DataError: they differ, so the model would be given other features; files
                that have changed are named.
        """
        columns = self._data.columns
        if columns is None or self._refits:
            return
        stored = stored_columns(self._run)
        if stored is not None and stored.digest != columns.digest:
            self._check_files()
            raise changed_columns()

    def lock(self) -> None:
        """Records the files, or compares them with those that the run has recorded.

        Raises:
            DataError: files have changed; they are named.
            OutputError: the file cannot be written.
        """
        if self._is_checked:
            return
        if not self._refits:
            self._check_files()
        if self._data.files:
            self._run.path.mkdir(parents=True, exist_ok=True)
        write_files(self._run, self._data)
        self._is_checked = True

    def _check_files(self) -> None:
        columns = self._data.columns
        fitted = () if columns is None else columns.files
        check_files(self._run, self._data, accepts=self._accepts, fitted=fitted)
