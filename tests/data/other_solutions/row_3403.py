class Solution:
    def answerString(self, word, numFriends):
        """With the others at one letter each, the longest piece from every start."""
        if numFriends == 1:
            return word
        longest = len(word) - numFriends + 1
        return max(word[i : i + longest] for i in range(len(word)))
