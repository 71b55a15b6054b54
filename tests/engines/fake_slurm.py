"""sbatch, srun, sacct and scontrol of one machine, as far as submitit uses them.

`python fake_slurm.py NAME ARGUMENTS`, with the folder of its state in `FAKE_SLURM`. The
jobs of an array run one after another; one that was queued again runs again.
"""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_SLURM"])


def sbatch(file):
    job = 100 + len(list(STATE.glob("*.sh")))
    text = Path(file).read_text()
    (STATE / f"{job}.sh").write_text(text)
    array = re.search(r"--array=0-(\d+)%(\d+)", text)
    tasks = range(int(array[1]) + 1) if array else [None]
    for task in tasks:
        (STATE / name_of(job, task)).write_text("PENDING")
    numbers = ["" if task is None else str(task) for task in tasks]
    subprocess.Popen(
        [sys.executable, __file__, "run", str(job), *numbers],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"Submitted batch job {job}")


def name_of(job, task):
    return f"{job}.state" if task in (None, "") else f"{job}_{task}.state"


def run(job, *tasks):
    """Runs the jobs of an array, in a process of its own."""
    for task in tasks:
        state = STATE / name_of(job, task)
        array = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task} if task else {}
        env = {**os.environ, "SLURM_JOB_ID": f"{job}{task}", **array}
        while state.read_text() == "PENDING":
            state.write_text("RUNNING")
            done = subprocess.run(["bash", str(STATE / f"{job}.sh")], env=env)
            if state.read_text() == "RUNNING":
                state.write_text("FAILED" if done.returncode else "COMPLETED")


def srun(*arguments):
    options = dict(itertools.pairwise(arguments))
    command = arguments[arguments.index(options["--error"]) + 1 :]
    files = []
    for name in ("--output", "--error"):
        file = options[name].replace("%t", "0")
        for mark, variable in (
            ("%A", "SLURM_ARRAY_JOB_ID"),
            ("%a", "SLURM_ARRAY_TASK_ID"),
            ("%j", "SLURM_JOB_ID"),
        ):
            file = file.replace(mark, os.environ.get(variable, ""))
        files.append(open(file, "ab"))
    step = {"STEP_NODELIST": "localhost", "STEP_NUM_TASKS": "1", "PROCID": "0"}
    env = {**os.environ, **{f"SLURM_{name}": text for name, text in step.items()}}
    os.dup2(files[0].fileno(), 1)
    os.dup2(files[1].fileno(), 2)
    os.execvpe(command[0], command, env)


def sacct(*_):
    print("JobID|State|NodeList")
    for state in sorted(STATE.glob("*.state")):
        print(f"{state.stem}|{state.read_text()}|localhost")


def scontrol(action, job):
    assert action == "requeue"
    (STATE / f"{job}.state").write_text("PENDING")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
