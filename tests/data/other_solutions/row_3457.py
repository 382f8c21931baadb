class Solution:
    def maxWeight(self, pizzas):
        """Odd days take the largest ones; an even day gives up the largest left and counts the next."""
        ordered = sorted(pizzas, reverse=True)
        days = len(pizzas) // 4
        odd, even = (days + 1) // 2, days // 2
        return sum(ordered[:odd]) + sum(ordered[odd + 1 : odd + 2 * even : 2])
