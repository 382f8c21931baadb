class Solution:
    def numberOfComponents(self, properties, k):
        """Groups of sets: a new one swallows every group with a set close enough."""
        groups = []
        for values in map(set, properties):
            near = [group for group in groups if any(len(values & other) >= k for other in group)]
            groups = [group for group in groups if group not in near]
            groups.append([values, *(other for group in near for other in group)])
        return len(groups)
