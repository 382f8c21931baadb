class Solution:
    def longestPalindrome(self, s, t):
        """Every pair of substrings whose outer parts mirror each other, and the best middle on either side."""
        best = 0
        for i in range(len(s) + 1):
            for j in range(len(t) + 1):
                best = max(best, self.around(s, t, i, j))
        return best

    def around(self, s, t, i, j):
        """Begins at s[i] and ends before t[j]."""
        outer = 0
        while i + outer < len(s) and outer < j and s[i + outer] == t[j - 1 - outer]:
            outer += 1
        rest_s, rest_t = s[i + outer :], t[: j - outer]
        middle = max((n for n in range(len(rest_s) + 1) if rest_s[:n] == rest_s[:n][::-1]), default=0)
        other = max(n for n in range(len(rest_t) + 1) if rest_t[len(rest_t) - n :] == rest_t[len(rest_t) - n :][::-1])
        return 2 * outer + max(middle, other)
