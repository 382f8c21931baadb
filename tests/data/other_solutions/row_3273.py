import functools


class Solution:
    def minDamage(self, power, damage, health):
        """Whoever deals more for the time he takes comes first: neighbours in the wrong order can be swapped."""
        enemies = [(-(-h // power), d) for d, h in zip(damage, health, strict=False)]
        enemies.sort(key=functools.cmp_to_key(lambda a, b: a[0] * b[1] - b[0] * a[1]))
        alive, total = sum(damage), 0
        for seconds, dealt in enemies:
            total += alive * seconds
            alive -= dealt
        return total
