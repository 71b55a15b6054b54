"""`python -m tests.soak`: fault campaigns, and a table of what survived them."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

from tests.soak.cases import Case, run_cases
from tests.soak.damage import damage_cases
from tests.soak.experiments import EXPERIMENTS
from tests.soak.full_disk import disk_cases
from tests.soak.interrupted_writes import write_cases
from tests.soak.kills import kill_cases
from tests.soak.processes import Workplace
from tests.soak.report import Records, failures, skips, table
from tests.soak.runs import Reference
from tests.soak.search_kills import search_cases
from tests.soak.signals import signal_cases

CAMPAIGNS = ("kill", "signal", "damage", "disk", "write", "search")


def main() -> int:
    """Runs the campaigns; the exit status is 1 if anything was lost, silent or hung."""
    arguments = _arguments()
    names = arguments.only or [*EXPERIMENTS, *CAMPAIGNS]
    experiments = [n for n in names if n in EXPERIMENTS] or list(EXPERIMENTS)
    campaigns = [n for n in names if n in CAMPAIGNS] or list(CAMPAIGNS)
    records = Records(arguments.record)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(arguments.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        workplace = Workplace(folder)
        kills = arguments.kills // 10 if arguments.quick else arguments.kills
        each = -(-kills // len(experiments))
        if "write" in campaigns:
            faults = 20 if arguments.quick else 500
            cases = write_cases(seed=arguments.seed, faults=faults)
            run_cases(cases, workplace, records)
            campaigns.remove("write")
        if "search" in campaigns:
            searches = search_cases(
                seed=arguments.seed, kills=2 if arguments.quick else 20
            )
            run_cases(searches, workplace, records)
            campaigns.remove("search")
        for name in experiments if campaigns else ():
            started = time.monotonic()
            reference = Reference.of(EXPERIMENTS[name], workplace)
            for campaign in campaigns:
                cases = cases_of(campaign, reference, each, arguments)
                run_cases(cases, workplace, records)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    tallies = records.tallies
    print("\n".join([table(tallies), *skips(tallies)]))
    for failure in failures(tallies):
        print(f"\n{failure}")
    return 1 if failures(tallies) else 0


def cases_of(
    campaign: str, reference: Reference, kills: int, arguments: argparse.Namespace
) -> Iterator[Case]:
    """Cases of one campaign over one experiment."""
    seed, quick = arguments.seed, arguments.quick
    if campaign == "kill":
        return kill_cases(reference, kills=kills, seed=seed)
    # Commands handle these faults in the same way for all experiments: every pair of a
    # phase and a signal for one, some for each of the others, and so on.
    is_thorough = reference.experiment.name == "dropout" and not quick
    if campaign == "signal":
        is_whole = is_thorough or arguments.every_signal
        share = 1.0 if is_whole else (0.02 if quick else 0.08)
        return signal_cases(reference, seed=seed, share=share)
    if campaign == "damage":
        return damage_cases(
            reference,
            seed=seed,
            flips=4 if quick else 200,
            commands=3 if is_thorough else 1,
        )
    return disk_cases(reference, seed=seed, attempts=9 if is_thorough else 3)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    names = ", ".join([*EXPERIMENTS, *CAMPAIGNS])
    parser.add_argument("--seed", type=int, default=0, help="decides every fault")
    parser.add_argument(
        "--only", action="append", help=f"an experiment or a campaign: {names}"
    )
    parser.add_argument("--kills", type=int, default=108, help="kill -9, over all")
    parser.add_argument("--quick", action="store_true", help="a tenth of each campaign")
    parser.add_argument(
        "--every-signal",
        action="store_true",
        help="every signal in every phase of every experiment, not of one alone",
    )
    parser.add_argument("--folder", help="folder of the runs; failed ones stay there")
    parser.add_argument(
        "--record",
        type=Path,
        help="file of the figures of each case; those that passed are not tried again",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.only or ()) - {*EXPERIMENTS, *CAMPAIGNS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {names}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
