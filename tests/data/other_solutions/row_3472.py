import functools


class Solution:
    def longestPalindromicSubsequence(self, s, k):
        """Between two places with so many operations left."""

        @functools.cache
        def longest(i, j, left):
            if i >= j:
                return int(i == j)
            gap = abs(ord(s[i]) - ord(s[j]))
            price = min(gap, 26 - gap)
            found = longest(i + 1, j - 1, left - price) + 2 if price <= left else 0
            if price:  # equal ends always belong to a longest one
                found = max(found, longest(i + 1, j, left), longest(i, j - 1, left))
            return found

        found = longest(0, len(s) - 1, k)
        longest.cache_clear()
        return found
