class Solution:
    def minZeroArray(self, nums, queries):
        """From left to right, with as many queries taken as the place at hand needs."""
        change = [0] * (len(nums) + 1)
        taken = covered = 0
        for i, value in enumerate(nums):
            while covered + change[i] < value:
                if taken == len(queries):
                    return -1
                left, right, amount = queries[taken]
                taken += 1
                if right >= i:
                    change[max(left, i)] += amount
                    change[right + 1] -= amount
            covered += change[i]
        return taken
