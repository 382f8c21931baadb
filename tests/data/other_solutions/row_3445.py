class Solution:
    def maxDifference(self, s, k):
        """For each pair of letters: prefixes with a known parity of both; the best earlier one that leaves at least k
        letters and two of b."""
        best = -len(s)
        for a in "01234":
            for b in "01234":
                if a != b:
                    best = max(best, self.pair(s, k, a, b))
        return best

    def pair(self, s, k, a, b):
        prefixes = [(0, 0)]
        for letter in s:
            prefixes.append((prefixes[-1][0] + (letter == a), prefixes[-1][1] + (letter == b)))
        best, start = -len(s), 0
        least = {}
        for end in range(k, len(prefixes)):
            n_a, n_b = prefixes[end]
            while start <= end - k and prefixes[start][1] <= n_b - 2:
                x, y = prefixes[start]
                key = x % 2, y % 2
                least[key] = min(least.get(key, x - y), x - y)
                start += 1
            found = least.get((1 - n_a % 2, n_b % 2))
            if found is not None:
                best = max(best, n_a - n_b - found)
        return best
