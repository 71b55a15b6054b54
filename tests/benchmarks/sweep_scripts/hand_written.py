"""A sweep as people write it by hand: compiles once, then loops over learning rates.

Usage: python hand_written.py FOLDER LR[,LR ...]
"""

import sys

import jax
from lean_mlp import rows, run_trial, train


def main():
    folder, rates = sys.argv[1:]
    data, program = rows(), jax.jit(train)
    for number, lr in enumerate(map(float, rates.split(","))):
        run_trial(f"{folder}/{number}", lr, data, program=program)


main()
