class Solution:
    def minUnlockedIndices(self, nums, locked):
        """Swaps are 2-1 and 3-2. Between the first 2 and the last 1 something must cross every border, and so between
        the first 3 and the last 2; a 3 left of a 1 never gets by."""

        def first(value):
            return nums.index(value) if value in nums else len(nums)

        def last(value):
            return len(nums) - 1 - nums[::-1].index(value) if value in nums else -1

        if first(3) < last(1):
            return -1
        crossed = {*range(first(2), last(1)), *range(first(3), last(2))}
        return sum(locked[i] for i in crossed)
