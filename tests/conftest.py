"""What holds for every test: how hypothesis searches, and that logging is as it was.

No deadline, because a busy machine is not a failure. In CI the search is derandomised, so that a
change is judged by its own merit and a failure can be repeated; locally each run looks elsewhere.
"""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "danewatch",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("danewatch")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Leave danewatch's logger as it was: a command run within a test sets it up for itself.

    A level of debug left behind would make every later test keep its records.
    """
    logger = logging.getLogger("danewatch")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before
