"""Measures one kind of reading or training, and prints `name=number` for each result.

`seconds` are CPU seconds for a row or a step; `peak` is the memory of the process in
MiB.
"""

import importlib
import itertools
import resource
import sys
import time

import numpy as np

BATCH = 1_000
MEMORY = "256MiB"
clock = time.process_time


def arrow(path: str) -> dict[str, float]:
    """Reads a file in order by pyarrow, twice."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    def read() -> int:
        if path.endswith(".csv"):
            return pyarrow.csv.read_csv(path).num_rows
        return sum(len(batch) for batch in pq.ParquetFile(path).iter_batches(1 << 16))

    seconds = []
    for _ in range(2):
        start = clock()
        rows = read()
        seconds.append((clock() - start) / rows)
    return {"first": seconds[0], "seconds": seconds[1]}


def blocks(path: str) -> dict[str, float]:
    """Opens a table that is larger than memory, and reads two epochs of it."""
    import jax  # Training has it, and its memory counts.

    from specflow.data import as_train_batches

    assert jax.__version__
    importlib.import_module("pyarrow.parquet")
    start = clock()
    data = build(path, memory=MEMORY, shuffle="blocks", split={"eval": 0.01})
    rows = len(data.train) + len(data.eval)
    first = (clock() - start) / rows
    batches = as_train_batches(data.train, batch_size=BATCH, steps_per_chunk=50)
    seconds = []
    for _ in range(2):
        start, steps = clock(), 0
        while steps < rows // BATCH:
            steps += next(batches).steps
        seconds.append((clock() - start) / (steps * BATCH))
    batches.close()
    return {"seconds": seconds[1], "first": first, "peak": peak()}


def opened(path: str) -> dict[str, float]:
    """Opens a table by blocks, and trains one step: CPU of the whole process."""
    import jax

    from specflow.data import as_train_batches

    data = build(path, memory=MEMORY, shuffle="blocks", split={"eval": 0.01})
    batches = as_train_batches(data.train, batch_size=BATCH, steps_per_chunk=1)
    x = next(batches).features["x"]
    jax.block_until_ready(jax.jit(jax.grad(lambda w: (x @ w).sum()))(x[0].T))
    batches.close()
    return {"seconds": clock()}


def whole(path: str) -> dict[str, float]:
    """Opens a table that fits the memory, twice."""
    for name in ("compute", "csv", "feather", "parquet"):
        importlib.import_module(f"pyarrow.{name}")
    for name in ("specflow.data", "specflow.config.sections.table"):
        importlib.import_module(name)
    seconds = []
    for seed in range(2):
        start = clock()
        data = build(path, split={"seed": seed})
        rows = len(data.train) + len(data.eval)
        seconds.append((clock() - start) / rows)
    return {"first": seconds[0], "seconds": seconds[1]}


def build(path: str, **settings):
    """The data of a file with labels `y`."""
    from specflow.config.sections.table import TableConfig
    from specflow.data import build_data

    return build_data(TableConfig(files=[path], labels=["y"], **settings))


def grain(path: str) -> dict[str, float]:
    """Reads an epoch by Grain, example by example."""
    package = importlib.import_module("grain")
    table, few = examples(path)
    data = package.MapDataset.source(few).shuffle(seed=0)
    return batched(data.map(lambda row: table[row % len(table)]).batch(BATCH), few)


def torch(path: str) -> dict[str, float]:
    """Reads an epoch by the DataLoader of PyTorch, example by example."""
    loader = importlib.import_module("torch.utils.data").DataLoader
    table, few = examples(path)
    rows = [table[row % len(table)] for row in few]
    return batched(loader(rows, BATCH, shuffle=True), few)


def examples(path: str):
    """Rows of the first row group, and the numbers of a hundredth of all rows."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    columns = [column.to_numpy() for column in file.read_row_group(0)]
    return np.stack(columns, axis=1), range(max(1, file.metadata.num_rows // 100))


def batched(batches, rows) -> dict[str, float]:
    """CPU seconds of a row of batches."""
    start = clock()
    for _ in batches:
        pass
    return {"seconds": (clock() - start) / len(rows)}


def device(rows: str) -> dict[str, float]:
    """Trains on rows that are arrays on the device."""
    return trained(int(rows), is_table=False)


def table(rows: str) -> dict[str, float]:
    """Trains on the same rows, as a table in memory gives them."""
    return trained(int(rows), is_table=True)


def trained(rows: int, *, is_table: bool) -> dict[str, float]:
    """CPU seconds of a step of a perceptron on 20 numbers."""
    import jax
    import jax.numpy as jnp

    from specflow.data import ArraySource, as_train_batches

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20)).astype(np.float32)
    y = rng.integers(0, 2, rows).astype(np.int32)
    sizes = (20, 128, 128, 2)
    pairs = itertools.pairwise(sizes)
    layers = [
        jnp.asarray(rng.normal(size=pair, scale=0.1), jnp.float32) for pair in pairs
    ]

    def loss(layers, x, y):
        for layer in layers[:-1]:
            x = jax.nn.relu(x @ layer)
        scores = jax.nn.log_softmax(x @ layers[-1])
        return -jnp.take_along_axis(scores, y[:, None], 1).mean()

    def step(layers, batch):
        slopes = jax.grad(loss)(layers, *batch)
        moved = [a - 0.01 * b for a, b in zip(layers, slopes, strict=True)]
        return moved, None

    @jax.jit
    def on_batches(layers, x, y):
        return jax.lax.scan(step, layers, (x, y))[0]

    @jax.jit
    def on_device(layers, x, y, rows):
        return jax.lax.scan(lambda all, at: step(all, (x[at], y[at])), layers, rows)[0]

    chunk, chunks = 50, 4
    batches = None
    if is_table:
        source = ArraySource({"x": x}, y)
        batches = as_train_batches(source, batch_size=BATCH, steps_per_chunk=chunk)

        def run(layers):
            got = next(batches)
            return on_batches(layers, got.features["x"], got.labels)

    else:
        held = jnp.asarray(x), jnp.asarray(y)
        order = jnp.asarray(rng.permutation(rows))
        orders = order[: rows // (chunk * BATCH) * chunk * BATCH]
        orders = orders.reshape(-1, chunk, BATCH)
        taken = iter(np.arange(1 << 20) % len(orders))

        def run(layers):
            return on_device(layers, *held, orders[next(taken)])

    layers = jax.block_until_ready(run(run(layers)))
    seconds = []
    for _ in range(5):
        start = clock()
        for _ in range(chunks):
            layers = run(layers)
        jax.block_until_ready(layers)
        seconds.append((clock() - start) / (chunk * chunks))
    if batches is not None:
        batches.close()
    return {"seconds": sorted(seconds)[2]}


def peak() -> float:
    """Largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    kind, argument = sys.argv[1:]
    results = globals()[kind](argument)
    print(" ".join(f"{name}={number}" for name, number in results.items()))
