import collections
import math


class Solution:
    def numberOfSubsequences(self, nums):
        """p q | r s: nums[p] / nums[q] must be nums[s] / nums[r]; ratios of the left are added as q moves on."""

        def ratio(a, b):
            common = math.gcd(a, b)
            return a // common, b // common

        seen, total = collections.Counter(), 0
        for r in range(4, len(nums) - 2):
            q = r - 2
            for p in range(q - 1):
                seen[ratio(nums[p], nums[q])] += 1
            for s in range(r + 2, len(nums)):
                total += seen[ratio(nums[s], nums[r])]
        return total
