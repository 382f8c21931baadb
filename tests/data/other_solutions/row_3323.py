import bisect


class Solution:
    def minConnectedGroups(self, intervals, k):
        """Groups as they are; the new interval begins at the end of one and reaches as many others as it can."""
        starts, ends = [], []
        for start, end in sorted(intervals):
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        joined = max(bisect.bisect_right(starts, end + k) - 1 - i for i, end in enumerate(ends))
        return len(starts) - joined
