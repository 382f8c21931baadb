class Solution:
    def maximumAmount(self, coins):
        """Best for each number of robbers that may still be sent away."""
        low = float("-inf")
        best = [[low] * 3 for _ in coins[0]]
        best[0] = [0, 0, 0]
        for row in coins:
            for j, value in enumerate(row):
                sources = [best[j]] + ([best[j - 1]] if j else [])
                came = [max(source[left] for source in sources) for left in range(3)]
                found = [came[left] + value for left in range(3)]
                if value < 0:
                    found = [max(found[0], came[1]), max(found[1], came[2]), found[2]]
                best[j] = found
        return max(best[-1])
