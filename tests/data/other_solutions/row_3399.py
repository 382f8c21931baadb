import itertools


class Solution:
    def minLength(self, s, numOps):
        """A run is cut into pieces of at most m by one flip for every m + 1 of its length; m = 1 must alternate."""
        runs = [len(list(run)) for _, run in itertools.groupby(s)]
        flips = sum(bit == "01"[i % 2] for i, bit in enumerate(s))

        def enough(m):
            needed = min(flips, len(s) - flips) if m == 1 else sum(run // (m + 1) for run in runs)
            return needed <= numOps

        low, high = 0, len(s)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high
