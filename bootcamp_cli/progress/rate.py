"""How fast something goes lately: counts per second over a sliding window."""

from collections import deque


class RateWindow:
    """Counts of the last `window_s` seconds, kept per second: its memory does not grow with the counts.

    Times are seconds of any clock that does not run backwards.
    """

    def __init__(self, window_s: float, *, now: float) -> None:
        self.total = 0
        self._window_s = window_s
        self._since = now
        self._seconds: deque[tuple[int, int]] = deque()

    def add(self, n: int, *, now: float) -> None:
        """Count `n` more."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = second, self._seconds[-1][1] + n
        else:
            self._seconds.append((second, n))
        self.total += n
        self._forget(now)

    def per_s(self, *, now: float) -> float:
        """The mean rate over the window, or over the time since the start where that is shorter (but at least 1 s)."""
        self._forget(now)
        return self.total / max(1.0, min(self._window_s, now - self._since))

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - self._window_s:
            self.total -= self._seconds.popleft()[1]
