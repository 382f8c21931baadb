class Solution:
    def minZeroArray(self, nums, queries):
        """Bits of a number: sums that can be taken off a place so far."""
        sums = [1] * len(nums)
        for k in range(len(queries) + 1):
            if all(found >> value & 1 for found, value in zip(sums, nums, strict=False)):
                return k
            if k < len(queries):
                left, right, amount = queries[k]
                for i in range(left, right + 1):
                    sums[i] |= sums[i] << amount
        return -1
