import bisect


class Solution:
    def maxFrequency(self, nums, k, numOperations):
        """Every number, and every number moved as far as it may be, as the value to meet at."""
        ordered = sorted(nums)
        best = 0
        for target in {value + shift for value in nums for shift in (-k, 0, k)}:
            near = bisect.bisect_right(ordered, target + k) - bisect.bisect_left(ordered, target - k)
            there = bisect.bisect_right(ordered, target) - bisect.bisect_left(ordered, target)
            best = max(best, there + min(numOperations, near - there))
        return best
