class Solution:
    def minCost(self, nums):
        """One number is carried along beside the next two: cheapest by its value."""
        cheapest, place = {nums[0]: 0}, 1
        while place + 1 < len(nums):
            a, b = nums[place], nums[place + 1]
            after = {}
            for carried, cost in cheapest.items():
                for kept, one, two in ((carried, a, b), (b, carried, a), (a, carried, b)):
                    price = cost + max(one, two)
                    after[kept] = min(after.get(kept, price), price)
            cheapest, place = after, place + 2
        rest = nums[place:]
        return min(cost + max(carried, *rest, 0) for carried, cost in cheapest.items())
