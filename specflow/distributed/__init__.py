"""Training with several processes: start, rendezvous, communication, failures."""
