import collections


class Solution:
    def getLargestOutlier(self, nums):
        """Without the outlier what is left is twice the sum element."""
        counts, total = collections.Counter(nums), sum(nums)
        for outlier in sorted(counts, reverse=True):
            rest = total - outlier
            if rest % 2 == 0 and counts[rest // 2] > (rest // 2 == outlier):
                return outlier
        return None
