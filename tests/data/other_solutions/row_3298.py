import collections


class Solution:
    def validSubstringCount(self, word1, word2):
        """For each end the last start at which enough of every letter is inside."""
        missing = collections.Counter(word2)
        lacking, start, total = len(word2), 0, 0
        for letter in word1:
            lacking -= missing[letter] > 0
            missing[letter] -= 1
            while lacking == 0:
                first = word1[start]
                missing[first] += 1
                lacking += missing[first] > 0
                start += 1
            total += start
        return total
