"""`python -m tests.soak`: fault campaigns, and a table of what survived them."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

from tests.soak.damage import damage_campaign
from tests.soak.experiments import EXPERIMENTS
from tests.soak.full_disk import disk_campaign
from tests.soak.interrupted_writes import write_campaign
from tests.soak.kills import kill_campaign
from tests.soak.processes import Workplace
from tests.soak.report import Tally, failures, read, record, table
from tests.soak.runs import Reference
from tests.soak.signals import signal_campaign

CAMPAIGNS = ("kill", "signal", "damage", "disk", "write")


def main() -> int:
    """Runs the campaigns; the exit status is 1 if anything was lost, silent or hung."""
    arguments = _arguments()
    names = arguments.only or [*EXPERIMENTS, *CAMPAIGNS]
    experiments = [n for n in names if n in EXPERIMENTS] or list(EXPERIMENTS)
    campaigns = [n for n in names if n in CAMPAIGNS] or list(CAMPAIGNS)
    tallies: list[Tally] = [] if arguments.record is None else read(arguments.record)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(arguments.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        workplace = Workplace(folder)
        kills = arguments.kills // 10 if arguments.quick else arguments.kills
        each = -(-kills // len(experiments))
        if "write" in campaigns:
            faults = 20 if arguments.quick else 500
            tally = write_campaign(workplace, seed=arguments.seed, faults=faults)
            tallies.append(tally)
            if arguments.record is not None:
                record(arguments.record, tally)
            campaigns.remove("write")
        for name in experiments if campaigns else ():
            started = time.monotonic()
            reference = Reference.of(EXPERIMENTS[name], workplace)
            for campaign in campaigns:
                tally = run(campaign, reference, workplace, each, arguments)
                tallies.append(tally)
                if arguments.record is not None:
                    record(arguments.record, tally)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"seed {arguments.seed}\n{table(tallies)}")
    for reason in {reason for tally in tallies for reason in tally.skipped}:
        print(f"skipped: {reason}")
    for failure in failures(tallies):
        print(f"\n{failure}")
    return 1 if failures(tallies) else 0


def run(
    campaign: str,
    reference: Reference,
    workplace: Workplace,
    kills: int,
    arguments: argparse.Namespace,
) -> Tally:
    """Runs one campaign over one experiment."""
    seed, quick = arguments.seed, arguments.quick
    if campaign == "kill":
        return kill_campaign(reference, workplace, kills=kills, seed=seed)
    if campaign == "signal":
        # The code that handles signals is the same for all experiments: every pair of
        # a phase and a signal for one, a choice of them for each of the others.
        is_thorough = reference.experiment.name == "dropout" and not quick
        share = 1.0 if is_thorough else (0.02 if quick else 0.08)
        return signal_campaign(reference, workplace, seed=seed, share=share)
    if campaign == "damage":
        flips = 4 if quick else 200
        return damage_campaign(reference, workplace, seed=seed, flips=flips)
    return disk_campaign(reference, workplace, seed=seed, attempts=2 if quick else 6)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    names = ", ".join([*EXPERIMENTS, *CAMPAIGNS])
    parser.add_argument("--seed", type=int, default=0, help="decides every fault")
    parser.add_argument(
        "--only", action="append", help=f"an experiment or a campaign: {names}"
    )
    parser.add_argument("--kills", type=int, default=108, help="kill -9, over all")
    parser.add_argument("--quick", action="store_true", help="a tenth of each campaign")
    parser.add_argument("--folder", help="folder of the runs; failed ones stay there")
    parser.add_argument(
        "--record", type=Path, help="adds the figures to a file, and shows all of it"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.only or ()) - {*EXPERIMENTS, *CAMPAIGNS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {names}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
