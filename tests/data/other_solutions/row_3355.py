class Solution:
    def isZeroArray(self, nums, queries):
        """How many queries cover each place, from where they begin and end."""
        change = [0] * (len(nums) + 1)
        for left, right in queries:
            change[left] += 1
            change[right + 1] -= 1
        covered = 0
        for value, step in zip(nums, change, strict=False):
            covered += step
            if covered < value:
                return False
        return True
