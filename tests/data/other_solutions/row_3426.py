import math


class Solution:
    def distanceSum(self, m, n, k):
        """Every pair of cells is in C(mn - 2, k - 2) arrangements; rows d apart: m - d pairs, n * n columns."""

        def along(size, across):
            return sum(d * (size - d) for d in range(size)) * across * across

        mod = 10**9 + 7
        top, arrangements = m * n - 2, 1
        if k - 2 <= 2000:
            arrangements = math.comb(top, k - 2)
        else:
            above = below = 1
            for i in range(min(k - 2, top - k + 2)):
                above = above * (top - i) % mod
                below = below * (i + 1) % mod
            arrangements = above * pow(below, -1, mod)
        return (along(m, n) + along(n, m)) * arrangements % mod
