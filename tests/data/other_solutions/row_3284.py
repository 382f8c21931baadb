class Solution:
    def getSum(self, nums):
        """Sums of the consecutive subarrays that end here: rising and falling ones, a single number is both."""
        total = 0
        rising = falling = rising_sum = falling_sum = 0
        for i, value in enumerate(nums):
            step = value - nums[i - 1] if i else 0
            rising, rising_sum = (rising + 1, rising_sum) if step == 1 else (1, 0)
            falling, falling_sum = (falling + 1, falling_sum) if step == -1 else (1, 0)
            rising_sum += rising * value
            falling_sum += falling * value
            total += rising_sum + falling_sum - value
        return total % (10**9 + 7)
