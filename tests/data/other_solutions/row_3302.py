class Solution:
    def validSequence(self, word1, word2):
        """rest[j]: the last place from which word2[j:] is a subsequence. The one change is spent as soon as the rest
        fits behind it."""
        n, m = len(word1), len(word2)
        rest = [n] * (m + 1)
        i = n - 1
        for j in range(m - 1, -1, -1):
            while i >= 0 and word1[i] != word2[j]:
                i -= 1
            rest[j] = i
            i -= 1
        chosen, changed = [], False
        for i, letter in enumerate(word1):
            j = len(chosen)
            if j == m:
                break
            if letter == word2[j]:
                chosen.append(i)
            elif not changed and (rest[j + 1] > i if j + 1 < m else True):
                chosen.append(i)
                changed = True
        return chosen if len(chosen) == m else []
