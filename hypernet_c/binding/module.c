/* hypernet._core: the module, its state and its types. */
#define BINDING_IMPORTS_NUMPY
#include "run.h"

static int is_main_interpreter(void)
{
    return PyInterpreterState_Get() == PyInterpreterState_Main();
}

static int type_add(PyObject *module, PyType_Spec *spec, PyTypeObject **type, int is_public)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (!*type)
        return -1;
    return is_public ? PyModule_AddType(module, *type) : 0;
}

static int types_add(PyObject *module, binding_state *state)
{
    return type_add(module, &owner_spec, &state->owner_type, 0) < 0 ||
                   type_add(module, &store_spec, &state->store_type, 1) < 0 ||
                   type_add(module, &claim_spec, &state->claim_type, 1) < 0 ||
                   type_add(module, &graph_spec, &state->graph_type, 1) < 0 ||
                   type_add(module, &network_spec, &state->network_type, 1) < 0 ||
                   type_add(module, &hyper_spec, &state->hyper_type, 1) < 0 ||
                   type_add(module, &optimizer_spec, &state->optimizer_type, 1) < 0 ||
                   type_add(module, &callable_spec, &state->callable_type, 1) < 0
               ? -1 : 0;
}

static int module_exec(PyObject *module)
{
    binding_state *state = PyModule_GetState(module);
    PyMethodDef *const functions[] = {attributes_functions, batches_functions, copies_functions, files_functions,
                                      functions_functions, hyper_functions, machine_functions, store_functions,
                                      writes_functions};
    if (!is_main_interpreter()) { /* before NumPy, whose own message is about NumPy */
        PyErr_SetString(PyExc_ImportError, "hypernet._core does not support loading in subinterpreters");
        return -1;
    }
    if (PyArray_ImportNumPyAPI() < 0 || main_thread_find() < 0)
        return -1;
    PyObject *numpy = PyImport_ImportModule("numpy");
    state->shares_memory = numpy ? PyObject_GetAttrString(numpy, "shares_memory") : NULL;
    Py_XDECREF(numpy);
    if (!state->shares_memory || types_add(module, state) < 0)
        return -1;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (PyModule_AddFunctions(module, functions[i]) < 0)
            return -1;
    return PyModule_AddStringConstant(module, "__version__", HYPERNET_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    binding_state *state = PyModule_GetState(module);
    Py_VISIT(state->owner_type);
    Py_VISIT(state->store_type);
    Py_VISIT(state->claim_type);
    Py_VISIT(state->graph_type);
    Py_VISIT(state->network_type);
    Py_VISIT(state->hyper_type);
    Py_VISIT(state->optimizer_type);
    Py_VISIT(state->callable_type);
    Py_VISIT(state->shares_memory);
    return 0;
}

static int module_clear(PyObject *module)
{
    binding_state *state = PyModule_GetState(module);
    Py_CLEAR(state->owner_type);
    Py_CLEAR(state->store_type);
    Py_CLEAR(state->claim_type);
    Py_CLEAR(state->graph_type);
    Py_CLEAR(state->network_type);
    Py_CLEAR(state->hyper_type);
    Py_CLEAR(state->optimizer_type);
    Py_CLEAR(state->callable_type);
    Py_CLEAR(state->shares_memory);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "hypernet._core",
    .m_doc = "The binding of hypernet's C library: positional arguments only. See _core.pyi.",
    .m_size = sizeof(binding_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
