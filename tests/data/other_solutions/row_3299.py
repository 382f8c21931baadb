import collections


class Solution:
    def getSum(self, nums):
        """(how many, their sum) of the rows that end at a value, upwards and downwards."""
        total = 0
        ways = {step: collections.defaultdict(lambda: (0, 0)) for step in (1, -1)}
        for value in nums:
            for step, known in ways.items():
                count, sums = known[value - step]
                count, sums = count + 1, sums + (count + 1) * value
                total += sums
                known[value] = (known[value][0] + count) % (10**9 + 7), (known[value][1] + sums) % (10**9 + 7)
            total -= value
        return total % (10**9 + 7)
