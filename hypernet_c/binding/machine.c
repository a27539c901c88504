/* The machine: instruction sets, threads, counters. */
#include "binding.h"
#include "../base/memory.h"
#include "../base/threads.h"

static PyObject *isa(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    hn_error error;
    hn_isa found;
    return hn_isa_default(&found, &error) == HN_OK ? PyUnicode_FromString(hn_isa_name(found)) : error_object(&error);
}

static PyObject *available_isas(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    for (int candidate = 0; list && candidate < HN_ISA_COUNT; candidate++) {
        if (!hn_isa_available((hn_isa)candidate))
            continue;
        PyObject *name = PyUnicode_FromString(hn_isa_name((hn_isa)candidate));
        if (!name || PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(hn_threads_get());
}

static PyObject *set_num_threads(PyObject *module, PyObject *argument)
{
    (void)module;
    int64_t count;
    hn_error error;
    if (value_integer(argument, "threads", &count) < 0)
        return NULL;
    int32_t threads = count < 0 ? -1 : count > INT32_MAX ? INT32_MAX : (int32_t)count;
    if (hn_threads_set(threads, &error) != HN_OK)
        return error_object(&error);
    Py_RETURN_NONE;
}

static PyObject *counters(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    int64_t generator_rows, calls;
    hn_hyper_counters(&generator_rows, &calls);
    return Py_BuildValue("{sLsLsL}", "generator_rows", (long long)generator_rows, "calls", (long long)calls,
                         "live_blocks", (long long)hn_memory_live_blocks());
}

static PyObject *fail_allocation_at(PyObject *module, PyObject *argument)
{
    (void)module;
    int64_t k;
    if (value_count(argument, "k", &k) < 0)
        return NULL;
    return PyLong_FromLongLong(hn_memory_fail_at(k));
}

static PyObject *set_contraction_order(PyObject *module, PyObject *argument)
{
    static const char *const names[] = {"by_cost", "weights", "slices", "mixture"};
    (void)module;
    for (int order = HN_ORDER_BY_COST; order <= HN_ORDER_MIXTURE; order++)
        if (PyUnicode_Check(argument) && PyUnicode_CompareWithASCIIString(argument, names[order]) == 0) {
            hn_hyper_set_default_order((hn_order)order);
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "the order is 'by_cost', 'weights', 'slices' or 'mixture', received %R",
                        argument);
}

PyMethodDef machine_functions[] = {
    {"isa", isa, METH_NOARGS, "The instruction set in use."},
    {"available_isas", available_isas, METH_NOARGS, "Instruction sets that can run here."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "Threads that calls use."},
    {"set_num_threads", set_num_threads, METH_O, "Set the number of threads that calls use."},
    {"counters", counters, METH_NOARGS, "Rows that generators ran on, runs of the pipeline, live blocks of memory."},
    {"set_contraction_order", set_contraction_order, METH_O,
     "For measuring: the order in which hypernetworks that are compiled from now on contract generated kernels."},
    {"fail_allocation_at", fail_allocation_at, METH_O, "For tests: the k-th allocation from now on fails, once."},
    {NULL, NULL, 0, NULL},
};
