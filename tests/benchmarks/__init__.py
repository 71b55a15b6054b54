"""Speed, printed as ratios to hand-written loops of the same run; never asserted."""
