class Solution:
    def resultsArray(self, nums, k):
        """Each window beside the row that it would have to be."""
        windows = [nums[i : i + k] for i in range(len(nums) - k + 1)]
        return [w[-1] if w == list(range(w[0], w[0] + k)) else -1 for w in windows]
