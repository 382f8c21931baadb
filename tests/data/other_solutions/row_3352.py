import math


class Solution:
    def countKReducibleNumbers(self, s, k):
        """Numbers below s with c ones, for each c that needs at most k - 1 more steps."""
        steps = [0, 0]
        for value in range(2, len(s) + 1):
            steps.append(steps[value.bit_count()] + 1)
        total = 0
        for ones in range(1, len(s) + 1):
            if steps[ones] < k:
                total += self.below(s, ones)
        return total % (10**9 + 7)

    def below(self, s, ones):
        total = 0
        for i, bit in enumerate(s):
            if bit == "1":
                if ones >= 0:
                    total += math.comb(len(s) - 1 - i, ones)
                ones -= 1
        return total
