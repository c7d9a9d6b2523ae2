"""The activations that are decoded by tables, to 40 digits: value, derivative,
inverse."""
import mpmath as mp

mp.mp.dps = 40


class Gelu:
    """x Phi(x)"""
    name, cxx, variant = "gelu", "Gelu", "none"
    flat_from = 6      # above this y, f' is 1 to float32's last place

    @staticmethod
    def value(x):
        return x * mp.erfc(-x / mp.sqrt(2)) / 2

    @staticmethod
    def slope(x):
        return (mp.erfc(-x / mp.sqrt(2)) / 2
                + x * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi))


class GeluTanh:
    """x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2"""
    name, cxx, variant = "gelu_tanh", "GeluTanh", "tanh"
    flat_from = 6
    beta = mp.sqrt(2 / mp.pi)
    kappa = mp.mpf("0.044715")

    @classmethod
    def gate(cls, x):
        return 1 / (1 + mp.exp(-2 * cls.beta * (x + cls.kappa * x ** 3)))

    @classmethod
    def value(cls, x):
        return x * cls.gate(x)

    @classmethod
    def slope(cls, x):
        # 1 - gate(x) is gate(-x): no cancellation far right.
        inner = 2 * cls.beta * (1 + 3 * cls.kappa * x * x)
        return cls.gate(x) * (1 + x * inner * cls.gate(-x))


class Silu:
    """x / (1 + exp(-x))"""
    name, cxx, variant = "silu", "Silu", ""
    flat_from = 21

    @staticmethod
    def value(x):
        return x / (1 + mp.exp(-x))

    @staticmethod
    def slope(x):
        return (1 + x / (1 + mp.exp(x))) / (1 + mp.exp(-x))


class Mish:
    """x tanh(ln(1 + exp(x)))"""
    name, cxx, variant = "mish", "Mish", ""
    flat_from = 12

    @staticmethod
    def value(x):
        return x * mp.tanh(mp.log1p(mp.exp(x)))

    @staticmethod
    def slope(x):
        gate = mp.tanh(mp.log1p(mp.exp(x)))
        # 1 - gate^2 is 4 (1 + e)^2 / (1 + (1 + e)^2)^2: no cancellation.
        square = (1 + mp.exp(x)) ** 2
        rest = 4 * square / (1 + square) ** 2
        return gate + x * rest / (1 + mp.exp(-x))


ALL = (Gelu, GeluTanh, Silu, Mish)


def minimum(f):
    """x0 and f(x0)."""
    x0 = mp.findroot(f.slope, (mp.mpf(-1.5), mp.mpf(-0.5)), solver="anderson")
    return x0, f.value(x0)


def inverse(f, y, left):
    """The x on one side of the minimum with f(x) == y, by bisection and
    Newton."""
    x0, _ = minimum_of(f)
    low, high = (mp.mpf(-200), x0) if left else (x0, abs(y) + 2)
    x = (low + high) / 2
    for _ in range(400):
        difference = f.value(x) - y
        if (difference > 0) != left:
            high = x
        else:
            low = x
        slope = f.slope(x)
        following = x - difference / slope if slope else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) < mp.mpf(10) ** -32:
            return following
        x = following
    return x


_minima = {}


def minimum_of(f):
    if f.name not in _minima:
        _minima[f.name] = minimum(f)
    return _minima[f.name]
