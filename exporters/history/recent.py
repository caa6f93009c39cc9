"""What was written lately, remembered within a bound."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)


class Recent(Generic[_K]):
    """Keys seen so far; above ``limit`` the oldest is forgotten."""

    def __init__(self, limit: int, keys: Iterable[_K] = ()) -> None:
        self._limit = limit
        self._keys: dict[_K, None] = {}
        for key in keys:
            self.first_time(key)

    def first_time(self, key: _K) -> bool:
        """Return whether ``key`` is new, and remember it."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._limit:
            del self._keys[next(iter(self._keys))]
        return True

    def forget(self, key: _K) -> None:
        """Forget ``key``, if it is known."""
        self._keys.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)
