import math


class Solution:
    def numberOfWays(self, n, x, y):
        """n! times the coefficient of z^n in ((1 - y) + y e^z)^x."""
        mod = 10**9 + 7
        total = 0
        for j in range(1, x + 1):
            total += math.comb(x, j) % mod * pow(1 - y, x - j, mod) * pow(y, j, mod) * pow(j, n, mod)
        return total % mod
