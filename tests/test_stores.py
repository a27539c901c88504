"""Stores: where weights live when layers and models share them."""

import gc
import weakref

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers


def dense_model(width=3, units=3):
    inputs = layers.Input((width,))
    return hn.Model(inputs, layers.Dense(units)(inputs))


def data(rows=4, width=3):
    return np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32)


def chain(*models):
    inputs = layers.Input((3,))
    tensor = inputs
    for model in models:
        tensor = model(tensor)
    return hn.Model(inputs, tensor)


def test_a_model_has_one_store():
    model = hn.target_network(3, 2)
    model(data())
    assert len({id(weight.store) for weight in model.weights}) == 1
    assert [weight.offset for weight in model.weights] == [0, 384, 512, 768]


def test_encoder_and_autoencoder_share_one_vector():
    inputs = layers.Input((3,))
    code = layers.Dense(2)(inputs)
    encoder = hn.Model(inputs, code)
    before = encoder.get_weights()
    autoencoder = hn.Model(inputs, layers.Dense(3)(code))
    params = autoencoder.params
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.shares_memory(encoder.params, params)
    encoder.params[...] = 7
    assert (autoencoder.params[:8] == 7).all()


def test_encoder_and_decoder_are_parts_of_the_whole():
    encoder, decoder = dense_model(), dense_model()
    first, second = encoder.params.copy(), decoder.params.copy()
    whole = chain(encoder, decoder)
    np.testing.assert_array_equal(whole.params, np.concatenate([first, second]))
    np.testing.assert_array_equal(encoder.params, first)
    np.testing.assert_array_equal(decoder.params, second)
    assert np.shares_memory(whole.params, decoder.params)
    x = data()
    np.testing.assert_allclose(whole(x), decoder(encoder(x)), rtol=1e-6)


def test_a_live_array_over_an_old_store_stops_the_join():
    encoder, decoder = dense_model(), dense_model()
    held = encoder.params
    whole = chain(encoder, decoder)
    with pytest.raises(BufferError, match=r"[Dd]elete"):
        whole(data())
    held += 1  # still the encoder's
    np.testing.assert_array_equal(encoder.params, held)
    del held
    gc.collect()
    assert whole(data()).shape == (4, 3)


def test_a_view_of_a_view_counts_too():
    encoder, decoder = dense_model(), dense_model()
    held = encoder.layers[1].kernel[1:]
    whole = chain(encoder, decoder)
    with pytest.raises(BufferError):
        _ = whole.params
    del held
    assert whole.params.size == 24


def test_models_are_bound_anew_after_a_join():
    encoder, decoder = dense_model(), dense_model()
    x = data()
    expected = encoder(x)
    whole = chain(encoder, decoder)
    whole(x)
    np.testing.assert_array_equal(encoder(x), expected)
    whole.set_weights(np.zeros(whole.count_params()))
    assert not encoder(x).any()
    assert not encoder.layers[1](x).any()


def test_weights_of_a_model_that_do_not_lie_side_by_side():
    a, b, c = layers.Dense(3), layers.Dense(3), layers.Dense(3)
    inputs = layers.Input((3,))
    whole = hn.Model(inputs, c(b(a(inputs))))
    whole(data())
    ends = hn.Model(inputs, c(a(inputs)))
    assert ends(data()).shape == (4, 3)
    with pytest.raises(ValueError, match="get_weights"):
        _ = ends.params
    ends.set_weights(np.arange(24.0))
    np.testing.assert_array_equal(whole.get_weights()[4].ravel(), np.arange(12.0, 21.0))
    y, pullback = ends.vjp(data())
    assert pullback(y).params.shape == (24,)


def test_versions_rise_with_writes():
    model = dense_model()
    store = model.weights[0].store
    before = store.version
    model.set_weights(model.get_weights())
    assert store.version > before


def test_one_writer_a_store():
    model = dense_model()
    store = model.weights[0].store
    store.claim()
    before = model.get_weights()
    try:
        with pytest.raises(RuntimeError):
            model.set_weights(np.zeros(12))
    finally:
        store.release()
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    model.set_weights(np.zeros(12))


def test_params_stay_alive_without_their_model():
    params = dense_model().params
    gc.collect()
    params[...] = 1.0
    assert params.sum() == 12.0


def test_nothing_keeps_a_dead_model():
    model = dense_model()
    model(data())
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_a_shared_layer_outlives_one_of_its_models():
    shared = layers.Dense(3)
    inputs = layers.Input((3,))
    first = hn.Model(inputs, layers.Dense(2)(shared(inputs)))
    first(data())
    expected = shared(data())
    del first
    gc.collect()
    second = hn.Model(inputs, layers.Dense(1)(shared(inputs)))
    second(data())
    np.testing.assert_array_equal(shared(data()), expected)


def test_hypermodel_joins_generator_and_own_weights():
    target = hn.target_network(3, 2)
    names = [layer.name for layer in target.layers[1:]]
    before = target.get_weights()
    generator = hn.hypernetwork(4, hn.count_params(target, generated=[names[1]]))
    first = generator.params.copy()
    hyper = hn.HyperModel(generator, target, generated=[names[1]], init=None)
    np.testing.assert_array_equal(hyper.params, np.concatenate([first, before[0].ravel(), before[1]]))
    assert np.shares_memory(hyper.params, generator.params)
    assert np.shares_memory(hyper.params, target.layers[1].kernel)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_hypermodel_that_generates_the_first_layer():
    target = hn.target_network(3, 2)
    first = target.layers[1].name
    generator = hn.hypernetwork(4, hn.count_params(target, generated=[first]))
    hyper = hn.HyperModel(generator, target, generated=[first])
    assert hyper.params.size == generator.count_params() + 128 * 2 + 2
    with pytest.raises(ValueError, match="get_weights"):
        _ = target.params  # its own weights lie beside the generator's
    assert len(target.get_weights()) == 4


def test_fully_generated_targets_keep_their_store():
    target = hn.target_network(3, 2)
    held = target.params
    hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
    assert hyper.params.size == hyper.generator.count_params()
    assert np.shares_memory(held, target.params)
