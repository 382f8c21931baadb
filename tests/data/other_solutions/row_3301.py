class Solution:
    def maximumTotalSum(self, maximumHeight):
        """The highest tower first, each lower than the one before."""
        total, last = 0, float("inf")
        for height in sorted(maximumHeight, reverse=True):
            last = min(height, last - 1)
            if last < 1:
                return -1
            total += last
        return total
