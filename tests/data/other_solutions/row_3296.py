import math


class Solution:
    def minNumberOfSeconds(self, mountainHeight, workerTimes):
        """In T seconds a worker takes off the largest x with w x (x + 1) / 2 <= T."""

        def done(seconds):
            return sum((math.isqrt(8 * (seconds // w) + 1) - 1) // 2 for w in workerTimes) >= mountainHeight

        low, high = 0, min(workerTimes) * mountainHeight * (mountainHeight + 1) // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if done(middle) else (middle, high)
        return high
