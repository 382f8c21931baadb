class Solution:
    def resultsArray(self, nums, k):
        """A window is good when the last break of the row lies before it."""
        answer, start = [], 0
        for i, value in enumerate(nums):
            if i and value != nums[i - 1] + 1:
                start = i
            if i >= k - 1:
                answer.append(value if i - k + 1 >= start else -1)
        return answer
