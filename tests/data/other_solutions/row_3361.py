import itertools


class Solution:
    def shiftDistance(self, s, t, nextCost, previousCost):
        """Each pair of letters once: all the way up, or all the way down."""

        def cost(start, end):
            up = [nextCost[(start + i) % 26] for i in range((end - start) % 26)]
            down = [previousCost[(start - i) % 26] for i in range((start - end) % 26)]
            return min(sum(up), sum(down))

        table = {pair: cost(*pair) for pair in itertools.product(range(26), repeat=2)}
        return sum(table[ord(a) - 97, ord(b) - 97] for a, b in zip(s, t, strict=False))
