class Solution:
    def maxRemovals(self, source, pattern, targetIndices):
        """kept[j]: fewest of the target indices that a match of pattern[:j] needs."""
        targets = set(targetIndices)
        kept = [0] + [len(source) + 1] * len(pattern)
        for i, letter in enumerate(source):
            price = i in targets
            for j in range(min(i + 1, len(pattern)), 0, -1):
                if pattern[j - 1] == letter and kept[j - 1] + price < kept[j]:
                    kept[j] = kept[j - 1] + price
        return len(targets) - kept[-1]
