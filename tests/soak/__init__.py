"""Fault campaigns: kills, signals, damage and full disks over several experiments."""
