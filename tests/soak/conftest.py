"""The user's project and the hooks belong to the processes under test."""

collect_ignore = ["project", "hooks"]
