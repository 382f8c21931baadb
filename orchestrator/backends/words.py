"""What an engine says of a run's last submission; any other word means "alive, unknown"."""

WAITING, RUNNING, ENDED, UNKNOWN, UNREACHABLE = "waiting", "running", "ended", "unknown", "unreachable"
