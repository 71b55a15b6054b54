"""Cases: the parts of a campaign that are run, judged and recorded one by one."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable

from tests.soak.processes import Workplace
from tests.soak.report import Records, Tally

__all__ = ["Case", "run_cases"]


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault, or several in one run, which need nothing of other cases."""

    campaign: str
    experiment: str
    name: str
    seed: int
    attempt: Callable[[Workplace, Tally], None]
    """Injects the faults in a folder of the case, and counts what became of them."""

    def run(self, workplace: Workplace) -> Tally:
        """Runs the case in a folder of its own, which stays if it failed."""
        tally = Tally(self.campaign, self.experiment, self.name, self.seed)
        own = workplace.part(re.sub(r"\W+", "-", "-".join(tally.key[1:])))
        self.attempt(own, tally)
        if not tally.notes:
            shutil.rmtree(own.folder)
        return tally


def run_cases(cases: Iterable[Case], workplace: Workplace, records: Records) -> None:
    """Runs the cases that have not passed yet."""
    for case in cases:
        key = case.seed, case.campaign, case.experiment, case.name
        if not records.has_passed(key):
            records.add(case.run(workplace))
