class Solution:
    def sortMatrix(self, grid):
        """Each diagonal into a list of its own, sorted, and back."""
        diagonals = {}
        for i, row in enumerate(grid):
            for j, value in enumerate(row):
                diagonals.setdefault(i - j, []).append(value)
        for offset, values in diagonals.items():
            values.sort(reverse=offset < 0)
        return [[diagonals[i - j].pop() for j in range(len(grid))] for i in range(len(grid))]
