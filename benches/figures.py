"""What was measured: a value for each round, by what, of which column, and how it was asked."""
import json
import statistics


class Figures:
    """Keys are tuples of words: (measure, column, more …)."""

    def __init__(self, rounds):
        self.rounds, self.values = rounds, {}

    def add(self, round_number, value, *key):
        self.values.setdefault(key, {})[round_number] = value

    def of(self, *key):
        """The median, None without a value."""
        found = self.all(*key)
        return statistics.median(found) if found else None

    def all(self, *key):
        """What each round found, as far as it found something."""
        return [value for value in self.values.get(key, {}).values() if value is not None]

    def late(self, *key):
        """Whether it was tried, and took too long."""
        return key in self.values and self.of(*key) is None

    def ratio(self, above, below):
        """The median of the ratios of each round; of the medians, where no round has both."""
        one, other = self.values.get(above, {}), self.values.get(below, {})
        pairs = [one[n] / other[n] for n in one if one[n] and other.get(n)]
        if pairs:
            return statistics.median(pairs)
        return self.of(*above) / self.of(*below) if self.of(*above) and self.of(*below) else None

    def difference(self, one, other):
        """The median of the differences of each round."""
        mine, theirs = self.values.get(one, {}), self.values.get(other, {})
        pairs = [mine[n] - theirs[n] for n in mine if n in theirs]
        return statistics.median(pairs) if pairs else None

    def save(self, path):
        path.write_text(json.dumps([{"key": key, "rounds": values} for key, values in self.values.items()], indent=1))
