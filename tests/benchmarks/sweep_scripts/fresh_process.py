"""One trial in a process of its own.

Usage: python fresh_process.py FOLDER LR
"""

import sys

from lean_mlp import rows, run_trial

run_trial(sys.argv[1], float(sys.argv[2]), rows())
