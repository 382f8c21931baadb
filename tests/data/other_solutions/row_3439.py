import itertools


class Solution:
    def maxFreeTime(self, eventTime, k, startTime, endTime):
        """k meetings pushed together join the k + 1 gaps around them."""
        gaps = [start - end for start, end in zip([*startTime, eventTime], [0, *endTime], strict=False)]
        sums = [0, *itertools.accumulate(gaps)]
        width = min(k + 1, len(gaps))
        return max(sums[i] - sums[i - width] for i in range(width, len(sums)))
