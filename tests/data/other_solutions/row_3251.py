import itertools
import math


class Solution:
    def countOfPairs(self, nums):
        """arr1 must rise by what nums rises; what is left to choose is a non-decreasing row of n in 0..room."""
        rise = sum(max(0, after - before) for before, after in itertools.pairwise(nums))
        room = nums[-1] - rise
        return math.comb(len(nums) + room, len(nums)) % (10**9 + 7) if room >= 0 else 0
