class Solution:
    def findMaximumScore(self, nums):
        """Each step is worth the largest number that was passed so far."""
        total = highest = 0
        for value in nums[:-1]:
            highest = max(highest, value)
            total += highest
        return total
