"""What the kernel says about its clock: whether something (NTP, PTP) keeps it right.

Information only: a clock may be right without, and a kernel does not know the time.
"""

import ctypes
import sys

_TIMEX_OCTETS = 512  # struct timex has 208 on 64-bit Linux
_STATUS_OFFSET = 40  # modes, offset, freq, maxerror, esterror: five words before it
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


def kernel_synchronised() -> bool | None:
    """Return whether the kernel calls its clock synchronised; None where it cannot be asked.

    Reads only (adjtimex(2) with no mode bits), so it needs no privilege.
    """
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    timex = ctypes.create_string_buffer(_TIMEX_OCTETS)
    state = int(adjtimex(timex))
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(timex, _STATUS_OFFSET).value
    return state != _TIME_ERROR and not status & _STA_UNSYNC
