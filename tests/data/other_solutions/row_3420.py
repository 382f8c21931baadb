import collections


class Solution:
    def countNonDecreasingSubarrays(self, nums, k):
        """From the right: blocks that are lifted to one height, the leftmost block first; while the lifting costs more
        than k the right end moves in."""
        blocks = collections.deque()  # [height, how many]
        cost = total = 0
        right = len(nums) - 1
        for left in range(len(nums) - 1, -1, -1):
            height, count = nums[left], 1
            while blocks and blocks[0][0] <= height:
                other, n = blocks.popleft()
                cost += (height - other) * n
                count += n
            blocks.appendleft([height, count])
            while cost > k:
                last = blocks[-1]
                cost -= last[0] - nums[right]
                last[1] -= 1
                if not last[1]:
                    blocks.pop()
                right -= 1
            total += right - left + 1
        return total
