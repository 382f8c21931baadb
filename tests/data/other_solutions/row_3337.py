class Solution:
    def lengthAfterTransformations(self, s, t, nums):
        """Lengths by letter after t turns, by squaring the table of one turn."""
        table = [[0] * 26 for _ in range(26)]
        for i, n in enumerate(nums):
            for step in range(1, n + 1):
                table[i][(i + step) % 26] = 1
        lengths = [1] * 26
        while t:
            if t % 2:
                lengths = [self.dot(row, lengths) for row in table]
            t //= 2
            if t:
                columns = list(zip(*table, strict=False))
                table = [[self.dot(row, column) for column in columns] for row in table]
        return sum(lengths[ord(letter) - ord("a")] for letter in s) % (10**9 + 7)

    def dot(self, row, column):
        return sum(map(int.__mul__, row, column)) % (10**9 + 7)
