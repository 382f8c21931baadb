import itertools


class Solution:
    def maxActiveSectionsAfterTrade(self, s):
        """Two neighbouring blocks of zeros become active for a block of ones that is lent for the while."""
        zeros = [len(list(run)) for bit, run in itertools.groupby(s) if bit == "0"]
        return s.count("1") + max((a + b for a, b in itertools.pairwise(zeros)), default=0)
