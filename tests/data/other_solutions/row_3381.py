class Solution:
    def maxSubarraySum(self, nums, k):
        """Best sum of whole blocks of k that ends at each place, one chain for each remainder."""
        upto = [0]
        for value in nums:
            upto.append(upto[-1] + value)
        best = None
        for first in range(k):
            chain = None
            for end in range(first + k, len(nums) + 1, k):
                block = upto[end] - upto[end - k]
                chain = block if chain is None or chain < 0 else chain + block
                best = chain if best is None else max(best, chain)
        return best
