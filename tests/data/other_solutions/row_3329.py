import collections


class Solution:
    def numberOfSubstrings(self, s, k):
        """For each end: how many starts leave k of some letter inside."""
        places = collections.defaultdict(list)
        starts = total = 0
        for i, letter in enumerate(s):
            places[letter].append(i)
            if len(places[letter]) >= k:
                starts = max(starts, places[letter][-k] + 1)
            total += starts
        return total
