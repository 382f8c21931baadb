class Solution:
    def answerString(self, word, numFriends):
        """The largest suffix (two candidates race, and the loser's letters are skipped), cut to what may be left."""
        if numFriends == 1:
            return word
        best, other, same = 0, 1, 0
        while other + same < len(word):
            one, two = word[best + same], word[other + same]
            if one == two:
                same += 1
                continue
            if one < two:
                best, other = other, max(other + 1, best + same + 1)
            else:
                other += same + 1
            same = 0
        return word[best : best + len(word) - numFriends + 1]
