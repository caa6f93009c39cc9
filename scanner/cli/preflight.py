"""What this machine must allow before thousands of connections are made: open files.

Every SMTP connection, DNS socket and client of the page takes a file descriptor. Running out of
them in the middle of a pass would look like servers that cannot be reached, so it is looked at
before: the soft limit is raised as far as the hard one allows, and where that is not enough the
number of connections at a time is lowered and the operator told.
"""

import resource
from dataclasses import replace

from scanner.cli.wiring import Settings

BASE_FILES = 128
"""For files, the page's clients, pipes and libraries; ours."""
SOCKETS_PER_RESOLVER = 40
"""16 UDP sockets, streams, and those that linger (``scanner.observe.dnsserver``)."""


def files_needed(settings: Settings) -> int:
    """Return how many descriptors a scanner of these settings may have open at a time.

    Twice the sockets of the resolvers: a second set fetches for the self-test.
    """
    resolvers = 2 * SOCKETS_PER_RESOLVER * max(len(settings.resolvers), 1)
    sharing = settings.sharing_limits
    return BASE_FILES + resolvers + sharing.max_concurrent + sharing.max_slow


def fitted(settings: Settings) -> tuple[Settings, str | None]:
    """Return settings that this process may have enough files for, and what to tell, if anything.

    Raises the soft limit of open files where needed and allowed.
    """
    needed = files_needed(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return settings, None
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed >= needed:
        return settings, None
    sharing = settings.sharing_limits
    room = max(sharing.max_concurrent + sharing.max_slow - (needed - allowed), 0)
    # The slow lane gives way first, and keeps a third.
    slow = min(sharing.max_slow, max(room - sharing.max_concurrent, room // 3))
    fewer = replace(sharing, max_concurrent=max(room - slow, 1), max_slow=slow)
    sentence = (
        f"this process may open {hard:,} files and would need {needed:,}: "
        f"{fewer.max_concurrent:,} SMTP connections at a time instead of "
        f"{sharing.max_concurrent:,}, and {slow:,} slow ones instead of {sharing.max_slow:,}; "
        "raise the limit (ulimit -n, LimitNOFILE=) to have them all"
    )
    return replace(settings, sharing_limits=fewer), sentence
