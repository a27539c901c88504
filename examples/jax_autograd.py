"""A HyperModel inside JAX: a function with a custom_vjp that calls hypernet forward and backward. jit and grad work."""

import hypernet as hn
import jax
import jax.numpy as jnp
import numpy as np


def as_jax(hyper):
    """(cond, x, params) -> y for a generator and a target of one input each; `params` is laid out as hyper.params."""

    def evaluate(*arrays):
        cond, x, params = map(np.asarray, arrays)  # NumPy views of JAX's memory
        return hn.functional_call(hyper, params, [cond, x])

    def differentiate(*arrays):
        cond, x, params, dy = map(np.asarray, arrays)
        _, pullback = hn.functional_vjp(hyper, params, [cond, x])
        gradient = pullback(dy)
        return *gradient.inputs, gradient.theta

    @jax.custom_vjp
    def call(cond, x, params):
        sample = hyper.target.output_shape[1:]
        is_tasks = x.ndim > len(hyper.target.input_shape)
        leading = (cond.shape[0], x.shape[1]) if is_tasks else x.shape[:1]
        return jax.pure_callback(evaluate, jax.ShapeDtypeStruct(leading + sample, hyper.dtype), cond, x, params)

    def forward(cond, x, params):
        return call(cond, x, params), (cond, x, params)

    def backward(saved, dy):
        return jax.pure_callback(differentiate, saved, *saved, dy)

    call.defvjp(forward, backward)
    return call


if __name__ == "__main__":  # eight tasks, each with 64 rows and an embedding that is trained along
    target = hn.target_network(20, 3)
    hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
    call = as_jax(hyper)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (8, 64, 20))
    label = (x @ jax.random.normal(keys[1], (8, 20, 3))).argmax(-1, keepdims=True)
    weights = {"cond": jax.random.normal(keys[2], (8, 4)), "params": jnp.array(hyper.params)}

    @jax.jit
    def train_step(weights):
        def loss(weights):
            y = call(weights["cond"], x, weights["params"])
            return -jnp.log(jnp.maximum(jnp.take_along_axis(y, label, -1), 1e-7)).mean()

        value, gradient = jax.value_and_grad(loss)(weights)
        return jax.tree.map(lambda weight, slope: weight - 0.3 * slope, weights, gradient), value

    for step in range(201):
        weights, value = train_step(weights)
        if step % 50 == 0:
            print(f"step {step:3}  loss {value:.4f}")
    hyper.set_weights(weights["params"])  # what was trained, back in the model
