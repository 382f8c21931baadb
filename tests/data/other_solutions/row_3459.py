class Solution:
    def lenOfVDiagonal(self, grid):
        """run[d][i][j]: how far the sequence goes on from a cell that stands in it already, straight along d."""
        self.grid, self.n, self.m = grid, len(grid), len(grid[0])
        turns = [(1, 1), (1, -1), (-1, -1), (-1, 1)]  # each clockwise of the one before it
        runs = [self.straight(*d) for d in turns]
        best = 0
        for i in range(self.n):
            for j in range(self.m):
                if grid[i][j] == 1:
                    best = max(best, 1, *(self.bent(i, j, turns[d], turns[d - 3], runs[d - 3]) for d in range(4)))
        return best

    def straight(self, a, b):
        run = [[0] * self.m for _ in range(self.n)]
        for i in range(self.n - 1, -1, -1) if a > 0 else range(self.n):
            for j in range(self.m - 1, -1, -1) if b > 0 else range(self.m):
                if self.grid[i][j] != 1:
                    inside = 0 <= i + a < self.n and 0 <= j + b < self.m
                    goes_on = inside and self.grid[i + a][j + b] == 2 - self.grid[i][j]
                    run[i][j] = 1 + (run[i + a][j + b] if goes_on else 0)
        return run

    def bent(self, i, j, along, turned, run):
        """Longest from the 1 at (i, j): straight on, with one turn after any step of it."""
        best, length, wanted = 1, 1, 2
        while True:
            i, j = i + along[0], j + along[1]
            if not (0 <= i < self.n and 0 <= j < self.m and self.grid[i][j] == wanted):
                return best
            length, wanted = length + 1, 2 - wanted
            a, b = i + turned[0], j + turned[1]
            more = run[a][b] if 0 <= a < self.n and 0 <= b < self.m and self.grid[a][b] == wanted else 0
            best = max(best, length + more)
