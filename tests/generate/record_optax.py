"""Records the signatures of the installed optax for tests/config/test_generated.py.

Run it with the oldest supported optax and with the newest:
`PYTHONPATH=folder_with_that_optax python -m tests.generate.record_optax`. (optax 0.2.7
does not import with jax 0.10.2, which dropped the option `jax_pmap_shmap_merge`; define
it first.)
"""

import inspect
import json
from pathlib import Path

import optax

from tests.generate.optimizers import optax_names, signature_of

FILE = Path(__file__).resolve().parents[2] / "tests/config/optax_signatures.json"


def main() -> None:
    """Adds the signatures to the file."""
    recorded = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    recorded[optax.__version__] = {
        name: {
            key: "required" if default is inspect.Parameter.empty else repr(default)
            for key, default in signature_of(name).items()
        }
        for name in sorted(optax_names())
    }
    FILE.write_text(
        json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    print(f"recorded optax {optax.__version__}")


if __name__ == "__main__":
    main()
