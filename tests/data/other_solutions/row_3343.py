import collections
import math


class Solution:
    def countBalancedPermutations(self, num):
        """ways[n, s]: choices of n digits with sum s for the even places, weighted by which of equal digits go there
        (binomials); each choice has (even)! (odd)! orders over the factorials of all counts."""
        velunexorai = num
        digits = [int(c) for c in velunexorai]
        total = sum(digits)
        if total % 2:
            return 0
        even = (len(digits) + 1) // 2
        ways = {(0, 0): 1}
        for digit, count in collections.Counter(digits).items():
            after = collections.Counter()
            for (n, s), number in ways.items():
                for taken in range(count + 1):
                    if n + taken <= even and s + taken * digit <= total // 2:
                        after[n + taken, s + taken * digit] += number * math.comb(count, taken)
            ways = after
        number = ways.get((even, total // 2), 0) * math.factorial(even) * math.factorial(len(digits) - even)
        for count in collections.Counter(digits).values():
            number //= math.factorial(count)
        return number % (10**9 + 7)
