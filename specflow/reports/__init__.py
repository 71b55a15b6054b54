"""Reports of runs: reporters and trackers, lists of runs, and pages for people."""
