"""Reporters of metrics."""


class Table:
    """Writes a line of columns for each evaluation."""

    def __init__(self, path, columns):
        self.path, self._columns = path, columns
        self._file = path.open("a", encoding="utf-8")

    def write(self, step, split, metrics):
        if split == "eval":
            cells = [f"{float(metrics[name]):.4f}" for name in self._columns]
            print(step, *cells, file=self._file, flush=True)

    def close(self):
        self._file.close()
