import collections
import math


class Solution:
    def countGoodIntegers(self, n, k):
        """Palindromes of n digits that k divides, by their digits; then the orders of each set of digits."""
        half = (n + 1) // 2
        kinds = set()
        for left in range(10 ** (half - 1), 10**half):
            text = str(left)
            text += text[::-1][n % 2 :]
            if int(text) % k == 0:
                kinds.add("".join(sorted(text)))
        return sum(self.orders(kind, n) for kind in kinds)

    def orders(self, kind, n):
        counts = collections.Counter(kind)
        whole = math.factorial(n)
        for count in counts.values():
            whole //= math.factorial(count)
        return whole - whole * counts["0"] // n
