/* Heads of HTTP/1 messages: bytes to fields and back (RFC 9112 sections 2 to 5).
 *
 * One call parses a head, where a parser with callbacks costs a call of Python for every field.  The rules are strict;
 * codec/h1_parse.py documents the interface and holds the same rules in Python over llhttp, which serve where this
 * cannot be built.  tests/codec/test_h1_parse.py holds the two against each other.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

/* What parse_* return instead of a tuple. */
#define INCOMPLETE 0
#define MALFORMED -1
#define UNUSUAL -2 /* line ends that are not CRLF: the caller mends them and tries again */
#define TOO_MANY -3

#define MAX_NAME 256

/* Bits of `flags`; codec/h1_parse.py has the same. */
#define FLAG_FRAMING 1
#define FLAG_TWO_HOSTS 2

static unsigned char token_lower[256]; /* a token character's lower case, 0 for what is none */
static unsigned char value_ok[256];
static unsigned char target_ok[256];

/* Names that are met often: one object each, so that neither it nor its hash is made again. */
#define SLOTS 1024
typedef struct {
    PyObject *name;
    const char *text;
    Py_ssize_t size;
    int flags;
} known_name;
static known_name known[SLOTS];
static PyObject *methods; /* bytes -> the same bytes */
static PyObject *host_name;

static unsigned int hash_name(const char *text, Py_ssize_t size)
{
    unsigned int hash = 2166136261u ^ (unsigned int)size;
    for (Py_ssize_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash ^ (hash >> 15);
}

static known_name *find_known(const char *text, Py_ssize_t size)
{
    unsigned int at = hash_name(text, size) % SLOTS;
    while (known[at].name != NULL) {
        if (known[at].size == size && memcmp(known[at].text, text, size) == 0)
            return &known[at];
        at = (at + 1) % SLOTS;
    }
    return NULL;
}

/* Parses fields from `p` to the empty line.  Returns the end of the head, or NULL with *result set. */
static const unsigned char *parse_fields(const unsigned char *p, const unsigned char *end, Py_ssize_t max_fields,
                                         PyObject *items, PyObject *index, PyObject **host, int *flags, int *result)
{
    char lower[MAX_NAME];
    Py_ssize_t count = 0;
    for (;;) {
        if (p >= end) {
            *result = INCOMPLETE;
            return NULL;
        }
        if (*p == '\r') {
            if (p + 1 >= end) {
                *result = INCOMPLETE;
                return NULL;
            }
            if (p[1] != '\n') {
                *result = MALFORMED;
                return NULL;
            }
            return p + 2;
        }
        if (*p == '\n' || (host == NULL && count > 0 && (*p == ' ' || *p == '\t'))) {
            *result = UNUSUAL; /* a bare LF; in a response, a folded line */
            return NULL;
        }
        if (++count > max_fields) {
            *result = TOO_MANY;
            return NULL;
        }
        Py_ssize_t size = 0;
        unsigned char c = 0;
        while (p < end && (c = token_lower[*p]) != 0) {
            if (size >= MAX_NAME) {
                *result = MALFORMED;
                return NULL;
            }
            lower[size++] = (char)c;
            p++;
        }
        if (p >= end) {
            *result = INCOMPLETE;
            return NULL;
        }
        if (*p != ':' || size == 0) {
            *result = MALFORMED; /* also white space before the colon, and folded lines */
            return NULL;
        }
        p++;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        const unsigned char *start = p;
        while (p < end && value_ok[*p])
            p++;
        if (p + 1 >= end) {
            *result = (p < end && *p != '\r' && *p != '\n') ? MALFORMED : INCOMPLETE;
            if (p < end && *p == '\n')
                *result = UNUSUAL;
            return NULL;
        }
        if (*p == '\n') {
            *result = UNUSUAL;
            return NULL;
        }
        if (*p != '\r' || p[1] != '\n') {
            *result = MALFORMED;
            return NULL;
        }
        const unsigned char *stop = p;
        while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        p += 2;
        PyObject *value = PyBytes_FromStringAndSize((const char *)start, stop - start);
        if (value == NULL)
            goto failed;
        known_name *hit = find_known(lower, size);
        PyObject *name;
        if (hit != NULL) {
            name = hit->name;
            if (name == host_name && host != NULL) {
                if (*host == NULL) {
                    *host = value;
                } else {
                    *flags |= FLAG_TWO_HOSTS;
                    Py_DECREF(value);
                }
                continue;
            }
            *flags |= hit->flags;
            Py_INCREF(name);
        } else {
            name = PyBytes_FromStringAndSize(lower, size);
            if (name == NULL) {
                Py_DECREF(value);
                goto failed;
            }
        }
        PyObject *pair = PyTuple_New(2);
        if (pair == NULL) {
            Py_DECREF(name);
            Py_DECREF(value);
            goto failed;
        }
        PyTuple_SET_ITEM(pair, 0, name);
        PyTuple_SET_ITEM(pair, 1, value);
        int bad = PyDict_SetItem(index, name, value) < 0 || PyList_Append(items, pair) < 0;
        Py_DECREF(pair);
        if (bad)
            goto failed;
    }
failed:
    *result = 1; /* a Python exception is set */
    return NULL;
}

static PyObject *outcome(int result)
{
    return result == 1 ? NULL : PyLong_FromLong(result);
}

/* parse_request(data, max_fields) -> (size, method, target, minor, host, items, index, flags) or a code */
static PyObject *parse_request(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "parse_request(bytes, int)");
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    const unsigned char *end = data + PyBytes_GET_SIZE(args[0]);
    Py_ssize_t max_fields = PyLong_AsSsize_t(args[1]);
    if (max_fields < 0 && PyErr_Occurred())
        return NULL;
    const unsigned char *p = data;
    if (p < end && (*p == '\r' || *p == '\n'))
        return PyLong_FromLong(UNUSUAL); /* empty lines before the request */
    while (p < end && ((*p >= 'A' && *p <= 'Z') || *p == '-') && p - data < 32)
        p++;
    if (p >= end)
        return PyLong_FromLong(INCOMPLETE);
    if (*p != ' ' || p == data)
        return PyLong_FromLong(MALFORMED);
    PyObject *key = PyBytes_FromStringAndSize((const char *)data, p - data);
    if (key == NULL)
        return NULL;
    PyObject *method = PyDict_GetItemWithError(methods, key); /* borrowed */
    Py_DECREF(key);
    if (method == NULL)
        return PyErr_Occurred() ? NULL : PyLong_FromLong(MALFORMED);
    while (p < end && *p == ' ')
        p++; /* RFC 9112 section 3 lets a recipient take more than one */
    const unsigned char *target = p;
    while (p < end && target_ok[*p])
        p++;
    if (p >= end)
        return PyLong_FromLong(INCOMPLETE);
    if (*p != ' ' || p == target)
        return PyLong_FromLong(MALFORMED);
    const unsigned char *target_end = p;
    while (p < end && *p == ' ')
        p++;
    Py_ssize_t have = end - p < 10 ? end - p : 10;
    if (memcmp(p, "HTTP/1.", have < 7 ? have : 7) != 0)
        return PyLong_FromLong(MALFORMED);
    if (have >= 8 && p[7] != '0' && p[7] != '1')
        return PyLong_FromLong(MALFORMED);
    if (have >= 9 && p[8] == '\n')
        return PyLong_FromLong(UNUSUAL);
    if ((have >= 9 && p[8] != '\r') || (have >= 10 && p[9] != '\n'))
        return PyLong_FromLong(MALFORMED);
    if (have < 10)
        return PyLong_FromLong(INCOMPLETE);
    int minor = p[7] - '0';
    p += 10;
    PyObject *items = PyList_New(0);
    PyObject *index = PyDict_New();
    PyObject *host = NULL;
    PyObject *answer = NULL;
    int flags = 0, result = 1;
    if (items != NULL && index != NULL) {
        p = parse_fields(p, end, max_fields, items, index, &host, &flags, &result);
        if (p == NULL) {
            answer = outcome(result);
        } else {
            answer = Py_BuildValue("nOy#iOOOi", (Py_ssize_t)(p - data), method, (const char *)target,
                                   (Py_ssize_t)(target_end - target), minor, host == NULL ? Py_None : host, items, index,
                                   flags);
        }
    }
    Py_XDECREF(items);
    Py_XDECREF(index);
    Py_XDECREF(host);
    return answer;
}

/* parse_response(data, max_fields) -> (size, status, minor, items, index, flags) or a code */
static PyObject *parse_response(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "parse_response(bytes, int)");
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    const unsigned char *end = data + PyBytes_GET_SIZE(args[0]);
    Py_ssize_t max_fields = PyLong_AsSsize_t(args[1]);
    if (max_fields < 0 && PyErr_Occurred())
        return NULL;
    Py_ssize_t have = end - data < 13 ? end - data : 13;
    if (memcmp(data, "HTTP/1.", have < 7 ? have : 7) != 0)
        return PyLong_FromLong(MALFORMED);
    if ((have >= 8 && data[7] != '0' && data[7] != '1') || (have >= 9 && data[8] != ' '))
        return PyLong_FromLong(MALFORMED);
    int status = 0;
    for (int at = 9; at < 12 && at < have; at++) {
        if (data[at] < '0' || data[at] > '9')
            return PyLong_FromLong(MALFORMED);
        status = status * 10 + data[at] - '0';
    }
    if (have < 13)
        return PyLong_FromLong(INCOMPLETE);
    const unsigned char *p = data + 12;
    if (*p != ' ' && *p != '\r' && *p != '\n')
        return PyLong_FromLong(MALFORMED);
    while (p < end && value_ok[*p])
        p++;
    if (p < end && *p == '\n')
        return PyLong_FromLong(UNUSUAL);
    if (p + 1 >= end)
        return PyLong_FromLong(p < end && *p != '\r' ? MALFORMED : INCOMPLETE);
    if (*p != '\r' || p[1] != '\n' || status < 100 || status > 599)
        return PyLong_FromLong(MALFORMED);
    p += 2;
    PyObject *items = PyList_New(0);
    PyObject *index = PyDict_New();
    PyObject *answer = NULL;
    int flags = 0, result = 1;
    if (items != NULL && index != NULL) {
        p = parse_fields(p, end, max_fields, items, index, NULL, &flags, &result);
        if (p == NULL)
            answer = outcome(result);
        else
            answer = Py_BuildValue("niiOOi", (Py_ssize_t)(p - data), status, data[7] - '0', items, index, flags);
    }
    Py_XDECREF(items);
    Py_XDECREF(index);
    return answer;
}

/* encode(parts, items, tail) -> bytes: all of the tuple `parts`, a line for each item, `tail` */
static PyObject *encode(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3 || !PyTuple_Check(args[0]) || !PyList_Check(args[1]) || !PyBytes_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "encode(tuple, list, bytes)");
        return NULL;
    }
    PyObject *parts = args[0], *items = args[1], *tail = args[2];
    Py_ssize_t total = PyBytes_GET_SIZE(tail);
    Py_ssize_t part_count = PyTuple_GET_SIZE(parts), item_count = PyList_GET_SIZE(items);
    for (Py_ssize_t i = 0; i < part_count; i++) {
        PyObject *part = PyTuple_GET_ITEM(parts, i);
        if (!PyBytes_Check(part))
            goto wrong;
        total += PyBytes_GET_SIZE(part);
    }
    for (Py_ssize_t i = 0; i < item_count; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(item, 0)) ||
            !PyBytes_Check(PyTuple_GET_ITEM(item, 1)))
            goto wrong;
        total += PyBytes_GET_SIZE(PyTuple_GET_ITEM(item, 0)) + PyBytes_GET_SIZE(PyTuple_GET_ITEM(item, 1)) + 4;
    }
    PyObject *out = PyBytes_FromStringAndSize(NULL, total);
    if (out == NULL)
        return NULL;
    char *p = PyBytes_AS_STRING(out);
#define PUT(object) \
    memcpy(p, PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)), p += PyBytes_GET_SIZE(object)
    for (Py_ssize_t i = 0; i < part_count; i++)
        PUT(PyTuple_GET_ITEM(parts, i));
    for (Py_ssize_t i = 0; i < item_count; i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        PUT(PyTuple_GET_ITEM(item, 0));
        *p++ = ':';
        *p++ = ' ';
        PUT(PyTuple_GET_ITEM(item, 1));
        *p++ = '\r';
        *p++ = '\n';
    }
    PUT(tail);
    return out;
wrong:
    PyErr_SetString(PyExc_TypeError, "encode takes bytes and pairs of bytes");
    return NULL;
}

/* setup(names, methods): `names` maps lower-case names to their flags.  Called once, by codec/h1_parse.py. */
static PyObject *setup(PyObject *self, PyObject *args)
{
    PyObject *names, *known_methods;
    if (!PyArg_ParseTuple(args, "O!O!", &PyDict_Type, &names, &PyDict_Type, &known_methods))
        return NULL;
    if (methods != NULL || PyDict_Size(names) > SLOTS / 2) {
        PyErr_SetString(PyExc_ValueError, "set up already, or too many names");
        return NULL;
    }
    PyObject *name, *flags;
    Py_ssize_t position = 0;
    while (PyDict_Next(names, &position, &name, &flags)) {
        if (!PyBytes_Check(name) || PyObject_Hash(name) == -1) {
            PyErr_SetString(PyExc_TypeError, "names are bytes");
            return NULL;
        }
        unsigned int at = hash_name(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)) % SLOTS;
        while (known[at].name != NULL)
            at = (at + 1) % SLOTS;
        Py_INCREF(name);
        known[at].text = PyBytes_AS_STRING(name);
        known[at].size = PyBytes_GET_SIZE(name);
        known[at].flags = (int)PyLong_AsLong(flags);
        known[at].name = name;
        if (known[at].size == 4 && memcmp(known[at].text, "host", 4) == 0)
            host_name = name;
    }
    methods = known_methods;
    Py_INCREF(methods);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"parse_request", (PyCFunction)(void (*)(void))parse_request, METH_FASTCALL, NULL},
    {"parse_response", (PyCFunction)(void (*)(void))parse_response, METH_FASTCALL, NULL},
    {"encode", (PyCFunction)(void (*)(void))encode, METH_FASTCALL, NULL},
    {"setup", setup, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_h1", "Heads of HTTP/1 messages; see codec/h1_parse.py.", -1, functions,
};

PyMODINIT_FUNC PyInit__h1(void)
{
    for (int c = 0; c < 256; c++) {
        value_ok[c] = c == '\t' || (c >= 0x20 && c != 0x7f);
        target_ok[c] = c > 0x20 && c < 0x7f;
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL))
            token_lower[c] = (unsigned char)c;
        if (c >= 'A' && c <= 'Z')
            token_lower[c] = (unsigned char)(c - 'A' + 'a');
    }
    return PyModule_Create(&module);
}
