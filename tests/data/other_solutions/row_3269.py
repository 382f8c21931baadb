class Solution:
    def minLargest(self, nums1, nums2):
        """least[j]: smallest last number once i of nums1 and j of nums2 have theirs."""

        def after(last, odd):
            return last + 1 if (last + 1) % 2 == odd else last + 2

        least = [0]
        for odd in nums2:
            least.append(after(least[-1], odd))
        for odd in nums1:
            row = [after(least[0], odd)]
            for j, other in enumerate(nums2, start=1):
                row.append(min(after(least[j], odd), after(row[-1], other)))
            least = row
        return least[-1]
