class Solution:
    def maxScore(self, a, b):
        """best[m]: most that the last m factors bring in what has been read from the right."""
        best = [0] + [float("-inf")] * 4
        for value in reversed(b):
            for m in (4, 3, 2, 1):
                best[m] = max(best[m], best[m - 1] + a[4 - m] * value)
        return best[4]
