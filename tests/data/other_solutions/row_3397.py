class Solution:
    def maxDistinctElements(self, nums, k):
        """In ascending order each takes the smallest value that is free."""
        taken = set()
        last = float("-inf")
        for value in sorted(nums):
            last = max(last + 1, value - k)
            if last <= value + k:
                taken.add(last)
            else:
                last = value + k
        return len(taken)
