"""A HyperModel inside PyTorch: an autograd function whose backward is hypernet's vjp. Tensors are used in place."""

import hypernet as hn
import torch


class HyperFunction(torch.autograd.Function):
    """y of (hyper, training, cond, x, params), where params is any tensor laid out as hyper.params."""

    @staticmethod
    def forward(ctx, hyper, training, cond, x, params):
        ctx.save_for_backward(cond, x, params)
        needed = zip(("condition", "inputs", "params"), ctx.needs_input_grad[2:], strict=True)
        wrt = [name for name, yes in needed if yes]
        cond, x, theta = (tensor.detach().numpy() for tensor in (cond, x, params))
        if params.data_ptr() == hyper.params.ctypes.data:  # the model's own weights
            y, ctx.pullback = hyper.vjp(cond, x, training=training, wrt=wrt)
        else:  # other weights for it, where they are
            y, pullback = hn.functional_vjp(hyper, theta, [cond, x], training=training)
            ctx.pullback = lambda dy: (*(gradient := pullback(dy)).inputs, gradient.theta)
        return torch.from_numpy(y)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        _ = ctx.saved_tensors  # PyTorch raises here if one of them has been changed in place since
        gradients = ctx.pullback(dy.numpy())
        return None, None, *(None if gradient is None else torch.from_numpy(gradient) for gradient in gradients)


class Hyper(torch.nn.Module):
    """A HyperModel as a module. All its weights are one parameter, in hypernet's own memory."""

    def __init__(self, hyper):
        super().__init__()
        self.hyper = hyper
        self.params = torch.nn.Parameter(torch.from_numpy(hyper.params))

    def forward(self, cond, x):
        return HyperFunction.apply(self.hyper, self.training, cond, x, self.params)


if __name__ == "__main__":  # eight tasks, each with 64 rows and an embedding that is trained along
    torch.manual_seed(0)
    target = hn.target_network(20, 3)
    hyper = Hyper(hn.HyperModel(hn.hypernetwork(4, target.count_params()), target))
    x = torch.randn(8, 64, 20)
    label = (x @ torch.randn(8, 20, 3)).argmax(-1, keepdim=True)
    cond = torch.nn.Parameter(torch.randn(8, 4))
    optimizer = torch.optim.Adam([*hyper.parameters(), cond], lr=0.003)
    for step in range(201):
        loss = -hyper(cond, x).gather(-1, label).clamp_min(1e-7).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step:3}  loss {loss.item():.4f}")
