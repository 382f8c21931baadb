class Solution:
    def maxScore(self, grid):
        """Value by value: best[rows] is the highest sum with just these rows used."""
        rows_of = {}
        for i, row in enumerate(grid):
            for value in set(row):
                rows_of.setdefault(value, []).append(1 << i)
        best = {0: 0}
        for value, rows in rows_of.items():
            for used, score in list(best.items()):
                for row in rows:
                    if not used & row:
                        best[used | row] = max(best.get(used | row, 0), score + value)
        return max(best.values())
