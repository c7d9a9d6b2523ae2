"""The tests of run.py: Student's interval of a mean of paired differences,
Mann-Whitney's U and Holm's correction. No dependency."""
import math
import statistics


def student_cdf(t, degrees):
    """By Simpson's rule on the density; good to about 1e-9."""
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
                     ) / math.sqrt(degrees * math.pi)

    def density(x):
        return scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2)

    steps = 2000
    width = abs(t) / steps
    area = sum((density(i * width) + 4 * density((i + 0.5) * width)
                + density((i + 1) * width)) * width / 6 for i in range(steps))
    return 0.5 + math.copysign(area, t)


def student_quantile(share, degrees):
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if student_cdf(middle, degrees) < share:
            low = middle
        else:
            high = middle
    return low


def interval_of_mean(differences):
    """Mean, and its 95 % interval."""
    count = len(differences)
    mean = statistics.fmean(differences)
    half = (student_quantile(0.975, count - 1)
            * statistics.stdev(differences) / math.sqrt(count))
    return mean, mean - half, mean + half


def mann_whitney(first, second):
    """Two-sided p, by the normal approximation with ties and continuity."""
    both = sorted((value, group) for group, values in ((0, first), (1, second))
                  for value in values)
    ranks, ties, begin = [0.0, 0.0], 0.0, 0
    while begin < len(both):
        end = begin
        while end < len(both) and both[end][0] == both[begin][0]:
            end += 1
        for _, group in both[begin:end]:
            ranks[group] += (begin + 1 + end) / 2
        ties += (end - begin) ** 3 - (end - begin)
        begin = end
    n, m = len(first), len(second)
    u = ranks[0] - n * (n + 1) / 2
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if variance == 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def holm(values):
    """The p values corrected for being so many."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    corrected, largest = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = largest
    return corrected
