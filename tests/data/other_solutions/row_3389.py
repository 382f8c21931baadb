class Solution:
    def makeStringGood(self, s):
        """For each frequency: every letter ends at it or at none; what a letter has too much of may fill its
        successor, which saves one operation for each."""
        counts = [s.count(chr(code)) for code in range(97, 123)]
        return min(self.cost(counts, frequency) for frequency in range(1, max(counts) + 1))

    def cost(self, counts, frequency):
        best = {0: 0}  # by what the letter before has too much of
        for count in counts:
            after = {}
            for surplus, cost in best.items():
                for goal in (0, frequency):
                    spare, lack = max(0, count - goal), max(0, goal - count)
                    found = cost + spare + lack - min(surplus, lack)
                    if found < after.get(spare, float("inf")):
                        after[spare] = found
            best = after
        return min(best.values())
