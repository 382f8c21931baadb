class Solution:
    def maxCollectedFruits(self, fruits):
        """The first child must walk the diagonal; the two others stay on their sides of it."""
        n = len(fruits)
        mirrored = [list(row) for row in zip(*fruits, strict=False)]
        return sum(fruits[i][i] for i in range(n)) + self.side(fruits) + self.side(mirrored)

    def side(self, fruits):
        """From the upper right corner down, right of the diagonal."""
        n = len(fruits)
        best = {n - 1: fruits[0][n - 1]}
        for i in range(1, n - 1):
            row = {}
            for j in range(i + 1, n):
                before = [best[p] for p in (j - 1, j, j + 1) if p in best]
                if before:
                    row[j] = max(before) + fruits[i][j]
            best = row
        return best[n - 1] if n > 1 else 0
