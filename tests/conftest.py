"""What holds for every test: how hypothesis searches.

No deadline, because a busy machine is not a failure. In CI the search is derandomised, so that a
change is judged by its own merit and a failure can be repeated; locally each run looks elsewhere.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "danewatch",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("danewatch")
