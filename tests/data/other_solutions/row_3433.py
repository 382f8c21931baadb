class Solution:
    def countMentions(self, numberOfUsers, events):
        """In the order of time, those who leave before those who write."""
        mentions, back = [0] * numberOfUsers, [0] * numberOfUsers
        for kind, moment, text in sorted(events, key=lambda e: (int(e[1]), e[0] != "OFFLINE")):
            now = int(moment)
            if kind == "OFFLINE":
                back[int(text)] = now + 60
                continue
            if text == "ALL":
                named = range(numberOfUsers)
            elif text == "HERE":
                named = [user for user in range(numberOfUsers) if back[user] <= now]
            else:
                named = [int(token[2:]) for token in text.split()]
            for user in named:
                mentions[user] += 1
        return mentions
