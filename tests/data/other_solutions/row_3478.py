import heapq
import itertools


class Solution:
    def findMaxSum(self, nums1, nums2, k):
        """By ascending nums1, with the k largest of nums2 so far in a heap; equal ones are answered first."""
        order = sorted(range(len(nums1)), key=nums1.__getitem__)
        answer, heap, total = [0] * len(nums1), [], 0
        for _, equal in itertools.groupby(order, key=nums1.__getitem__):
            places = list(equal)
            for i in places:
                answer[i] = total
            for i in places:
                total += nums2[i]
                heapq.heappush(heap, nums2[i])
                if len(heap) > k:
                    total -= heapq.heappop(heap)
        return answer
