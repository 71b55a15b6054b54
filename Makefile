.PHONY: format check test thorough docs engines soak generate notebooks faults hubs trackers bench

format:  ## rewrite the code in the project's form
	ruff format .
	ruff check --fix .

check:  ## form, types and import rules
	ruff format --check .
	ruff check .
	pyright
	lint-imports

test:  ## everything that must hold
	pytest

thorough:  ## more cases of what the tests show of some, for an hour
	pytest -m thorough

docs:  ## the documentation site, in build/docs/html; a warning is an error
	python -m docs.site

engines:  ## sweeps on a Ray cluster of three nodes, and as jobs of submitit
	pip install -q ".[ray,slurm]"
	pytest -n 0 tests/engines

soak:  ## failures, for half an hour: kills, signals, damaged files, full disks
	python -m tests.soak

generate:  ## write config sections from signatures, and the JSON Schemas
	python -m tests.generate
	specflow schema --write conf/schema

notebooks:  ## run the notebooks, and store what they show
	python -m tests.docs.notebooks

faults:  ## mistakes planted in config files: found, placed, fixed, tracebacks
	python -m tests.corpus

hubs:  ## sources of records for real, with the packages of their extras
	pip install -q ".[array_record,huggingface,remote,tfds,tfrecord]"
	pytest -n 0 tests/data/records tests/data/table/test_remote_files.py

trackers:  ## trackers for real, once pip install -e '.[mlflow,trackio,wandb]' is done
	pytest -n 0 tests/trackers

bench:  ## speed, as ratios to hand-written loops
	python -m tests.benchmarks
