"""For processes that a test starts with this folder on PYTHONPATH."""

import kill_points

kill_points.install()
