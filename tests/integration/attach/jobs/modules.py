"""One step for each kind of model; prints the names in the order of steps."""

import gc
import io
import json
import pickle
import threading
import traceback
import warnings

import torch
from torch import nn
from torch.nn import functional as F

warnings.simplefilter("error")
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def x(rows=4):
    return torch.randn(rows, 8)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, value):
        return F.gelu(self.linear(value))


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"first": Inner()})
        self.layers = nn.ModuleList(Inner() for _ in range(2))
        self.tail = nn.Sequential(nn.Linear(8, 8), nn.SiLU())

    def forward(self, value):
        value = self.encoder["first"](value)
        for layer in self.layers:
            value = layer(value)
        return self.tail(value)


@case
def nested():
    Outer()(x()).sum().backward()


@case
def shared():
    """One module in two places has the first one's name."""
    inner = Inner()
    nn.Sequential(inner, nn.ReLU(), inner)(x()).sum().backward()


@case
def called_in_part_first():
    """As a job does that looks for a shape: the whole still gives the names."""
    model = Outer()
    with torch.no_grad():
        model.encoder["first"](x())
        model.tail(x())
    model(x()).sum().backward()


@case
def two_models():
    first, second = Inner(), nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    nn.MSELoss()(second(first(x())), x()).backward()


@case
def made_in_forward():
    class Makes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, value):
            return nn.Softplus()(self.inner(value))
    Makes()(x()).sum().backward()


@case
def overridden_call():
    class Calls(Inner):
        def __call__(self, *args):
            return super().__call__(*args) * 2
    nn.Sequential(Calls())(x()).sum().backward()


@case
def keyword_arguments():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, *, value, scale=1):
            return self.inner(value=value) * scale
    Named()(value=x(), scale=2).sum().backward()


@case
def after_an_exception():
    """Names and traceback are as they were."""
    class Fails(nn.Module):
        def forward(self, value):
            raise KeyError("inside")

    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.fails = Fails()
            self.inner = Inner()

        def forward(self, value):
            try:
                self.fails(value)
            except KeyError as error:
                frames = traceback.extract_tb(error.__traceback__)
                assert [f.name for f in frames] == [
                    "forward", "_wrapped_call_impl", "_call_impl", "forward"]
            return self.inner(value)
    Tries()(x()).sum().backward()


@case
def in_a_thread():
    def work():
        nn.Sequential(nn.Linear(8, 8), nn.Tanh())(x()).sum().backward()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@case
def as_a_generator():
    class Yields(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, value):
            for _ in range(2):
                value = self.inner(value)
                yield value
    sum(part.sum() for part in Yields()(x())).backward()


@case
def traced_by_fx():
    model = Outer()
    graph = torch.fx.symbolic_trace(model)
    assert any(node.target == "layers.1.linear" for node in graph.graph.nodes)
    graph(x()).sum().backward()


@case
def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        script = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.Sigmoid()))
    script(x()).sum().backward()


@case
def compiled():
    """One graph, no break, no warning, and called again after a change."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    model = torch.compile(Outer(), backend=counter, fullgraph=True)
    # The first call runs under a dispatch mode of the compiler: uncounted.
    for _ in range(2):
        model(x()).sum().backward()
        assert counter.frame_count == 1, counter.frame_count
    with torch.no_grad():
        assert torch._dynamo.explain(Outer())(x()).graph_break_count == 0


@case
def pickled():
    model = Outer()
    model(x()).sum().backward()
    again = pickle.loads(pickle.dumps(model))
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    for copy in (again, loaded):
        assert list(copy.state_dict()) == list(model.state_dict())
        assert set(vars(copy)) == set(vars(model))


@case
def hooked_by_the_user():
    seen = []
    model = Outer()
    model.layers[0].register_forward_hook(
        lambda module, args, out: seen.append("forward"))
    model.layers[1].register_forward_pre_hook(
        lambda module, args: seen.append("before"))
    model(x()).sum().backward()
    assert seen == ["forward", "before"]


def main():
    import torch._dynamo.testing  # noqa: F401  its own warnings are not ours
    import torch.fx  # noqa: F401
    # torch's function is the object that it was.
    assert nn.Module._call_impl.__code__.co_name == "_call_impl"
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks
    done = []
    for name, function in CASES.items():
        torch.manual_seed(0)
        function()
        done.append(name)
        gc.collect()  # the next case's model is the only one
    usage = torch._C._log_api_usage_once  # borrowed until the first module
    assert usage.__doc__ and usage.__name__ == "_log_api_usage_once"
    print(json.dumps(done))


if __name__ == "__main__":
    main()
