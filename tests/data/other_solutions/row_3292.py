class Solution:
    def minValidStrings(self, words, target):
        """The longest prefix of a word that ends here (by the border table of each word), and one string more than
        before it: shorter ends never need more strings."""
        longest = [0] * (len(target) + 1)
        for word in set(words):
            borders = self.borders(word)
            state = 0
            for i, letter in enumerate(target, start=1):
                while state and (state == len(word) or word[state] != letter):
                    state = borders[state]
                state += word[state] == letter
                longest[i] = max(longest[i], state)
        count = [0]
        for i in range(1, len(target) + 1):
            if not longest[i]:
                return -1
            count.append(count[i - longest[i]] + 1)
        return count[-1]

    def borders(self, word):
        table = [0, 0]
        for letter in word[1:]:
            state = table[-1]
            while state and word[state] != letter:
                state = table[state]
            table.append(state + (word[state] == letter))
        return table
