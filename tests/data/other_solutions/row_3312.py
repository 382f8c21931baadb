import bisect
import itertools


class Solution:
    def gcdValues(self, nums, queries):
        """Pairs whose gcd is g: those of multiples of g, without those of larger gcd."""
        most = max(nums)
        counts = [0] * (most + 1)
        for value in nums:
            counts[value] += 1
        pairs = [0] * (most + 1)
        for g in range(most, 0, -1):
            n = sum(counts[g::g])
            pairs[g] = n * (n - 1) // 2 - sum(pairs[2 * g :: g])
        upto = list(itertools.accumulate(pairs))
        return [bisect.bisect_right(upto, query) for query in queries]
