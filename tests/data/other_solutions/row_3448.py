class Solution:
    def countSubstrings(self, s):
        """For each divisor the remainders of the substrings that end here."""
        total = 0
        remainders = {divisor: [0] * divisor for divisor in range(1, 10)}
        for letter in s:
            digit = int(letter)
            for divisor, counts in remainders.items():
                after = [0] * divisor
                for remainder, n in enumerate(counts):
                    after[(10 * remainder + digit) % divisor] += n
                after[digit % divisor] += 1
                remainders[divisor] = after
            if digit:
                total += remainders[digit][0]
        return total
