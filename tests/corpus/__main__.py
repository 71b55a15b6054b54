"""`python -m tests.corpus`: what is reported of mistakes in config files, by kind."""

import argparse
import resource

from tests.corpus.survey import Plan, survey, table


def main() -> None:
    """Prints the survey; with `--misses`, the mistakes that fall short."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--trees", type=int, default=Plan.trees)
    parser.add_argument("--share", type=float, default=Plan.share)
    parser.add_argument("--combined", type=int, default=Plan.combined)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--misses", action="store_true")
    asked = parser.parse_args()
    plan = Plan(asked.seed, asked.trees, share=asked.share, combined=asked.combined)
    outcomes = survey(plan, asked.processes)
    if asked.misses:
        for one in outcomes:
            lacks = [
                word
                for word, is_so in (
                    ("found", one.found),
                    ("placed", one.placed),
                    ("fixed", one.fixed or not one.meant),
                )
                if not is_so
            ]
            if lacks or one.crash:
                print(f"{one.kind} ({one.together}): not {lacks}: {one.shown}")
    print(table(outcomes))
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{spent.ru_utime + spent.ru_stime:.0f} s of CPU time")


if __name__ == "__main__":
    main()
