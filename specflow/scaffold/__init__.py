"""New projects: a small package, its config, tests and README, from templates."""
