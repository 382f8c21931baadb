class Solution:
    def assignElements(self, groups, elements):
        """The first place of each element is carried to all of its multiples."""
        first, limit = {}, max(groups)
        for j, element in enumerate(elements):
            first.setdefault(element, j)
        chosen = [-1] * (limit + 1)
        for element, j in sorted(first.items(), key=lambda pair: pair[1]):
            for multiple in range(element, limit + 1, element):
                if chosen[multiple] < 0:
                    chosen[multiple] = j
        return [chosen[size] for size in groups]
