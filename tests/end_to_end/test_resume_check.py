"""`specflow resume-check` kills and resumes a copy of an experiment, and compares."""

import hashlib
import json

import pytest

SOURCE = """
import numpy as np

from specflow.data import ArraySource, Data

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
ROWS = {"x": X}, X.sum(1)


class Noisy(ArraySource):
    def __init__(self):
        super().__init__(*ROWS)
        self.random = np.random.default_rng(0)

    def take(self, rows):
        features, labels = super().take(rows)
        noise = self.random.normal(size=features["x"].shape)
        return {"x": features["x"] + noise.astype(np.float32)}, labels


def noisy():
    return Data(Noisy(), ArraySource(*ROWS))
"""
EXPERIMENT = (
    "model=linear",
    "spec=regression",
    "data={_target_: their_rows.noisy}",
    "mesh=single",
    "loop.batch_size=8",
    "loop.eval_batch_size=8",
    "trust=their_rows",
)


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_copy_of_a_run_resumes_bit_for_bit_and_the_run_is_unchanged(
    specflow, finished
):
    run, _ = finished
    before = digests(run)
    done = specflow("resume-check", f"run={run}", "--at=4", "--output=both")
    assert (done.status, done.out.splitlines()) == (
        0,
        [
            "part         compared  result",
            "batches      12 steps  equal",
            "log rows     12 rows   equal",
            "evaluations  4         equal",
            "last step    step 12   equal",
            "parameters   4 arrays  equal",
            "model state  2 arrays  equal",
            "optimizer    9 arrays  equal",
            "host state   4 parts   equal",
            "",
            "the resumed run equals the uninterrupted one, bit for bit",
            "",
            str(specflow.cwd / "both"),
        ],
    )
    assert digests(run) == before
    lines = (specflow.cwd / "both" / "resumed.log").read_text()
    assert "digits_mlp resumes from step 4: " in lines


@pytest.mark.slow
def test_data_that_no_checkpoint_holds_is_named(specflow):
    (specflow.cwd / "their_rows.py").write_text(SOURCE)
    done = specflow("resume-check", *EXPERIMENT, "--steps=12", "--format=json")
    assert done.status == 1
    document = json.loads(done.out)
    assert document["diagnostics"] == [
        {
            "code": "resume-differs",
            "key": "step 5",
            "problem": "the batch differs (features.x): it holds other rows",
            "expected": "what the uninterrupted run has; training resumed from step 4",
            "hint": "Likely cause: an iterator without state: training changes "
            "random of their_rows.Noisy, which no checkpoint holds. Let each row "
            "depend on its number alone, or give the iterator get_state and set_state.",
            "origin": None,
        }
    ]
    assert not document["equal"]
    parts = {part["name"]: part["differs"] for part in document["parts"]}
    assert parts["host state"] == parts["last step"] == ""
    assert parts["batches"] == (
        "step 5: the batch differs (features.x): it holds other rows"
    )


def test_steps_that_leave_no_room_for_an_interruption(here, quick):
    texts = {
        ("--steps=5", "--at=4"): "--steps: 5 steps leave none to take after the "
        "checkpoint of 4 (command line). Expected at least 6.",
        ("--steps=2000",): "--steps: got 2000 (command line). Expected at most "
        "loop.train_steps (600).",
    }
    for options, text in texts.items():
        done = here("resume-check", *quick, "loop.train_steps=600", *options)
        assert (done.status, done.err) == (2, f"error[usage] {text}\n")
    done = here("resume-check", *quick, "--processes=0")
    assert done.err == (
        "error[usage] --processes: got 0 (command line). Expected 1 or more.\n"
    )
