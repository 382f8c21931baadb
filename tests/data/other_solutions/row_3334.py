import math


class Solution:
    def maxScore(self, nums):
        """Every removal tried."""

        def score(values):
            return math.lcm(*values) * math.gcd(*values) if values else 0

        return max(score(nums), *(score(nums[:i] + nums[i + 1 :]) for i in range(len(nums))))
