"""Binds the shared library from another language: tests/c/smoke.py LIBRARY, with BYWAY_TEST_RELAY set."""

import ctypes
import os
import sys

DEADLINE_MS = 60_000
BYWAY_ERROR_HANDLE = -2
BYWAY_ERROR_NO_LISTENER = -200

handle = ctypes.c_uint64
size = ctypes.c_size_t
text = ctypes.c_char_p
ms = ctypes.c_int32


class Config(ctypes.Structure):
    """As much of byway_config as a program needs that is content with the defaults."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("relay_url", text),
    ]


byway = ctypes.CDLL(sys.argv[1])
for name, *arguments in [
    ("byway_config_default", ctypes.POINTER(Config), size),
    ("byway_client_open", ctypes.POINTER(Config), ms, ctypes.POINTER(handle)),
    ("byway_listen", handle, text, ms, ctypes.POINTER(handle)),
    ("byway_connect", handle, text, ms, ctypes.POINTER(handle)),
    ("byway_accept", handle, ms, ctypes.POINTER(handle)),
    ("byway_send", handle, text, size, ms, ctypes.POINTER(size)),
    ("byway_recv", handle, ctypes.c_void_p, size, ms, ctypes.POINTER(size)),
    ("byway_close", handle, ms),
]:
    function = getattr(byway, name)
    function.argtypes = arguments
    function.restype = ctypes.c_int32
byway.byway_last_error.restype = text
byway.byway_version_string.restype = text


def ok(code):
    """Raises what the library says."""
    if code != 0:
        raise OSError(code, byway.byway_last_error().decode())


def made(function, *arguments):
    """The handle that a call gives."""
    new = handle()
    ok(function(*arguments, ctypes.byref(new)))
    return new


def send(stream, data):
    """Sends all of it."""
    while data:
        n = size()
        ok(byway.byway_send(stream, data, len(data), DEADLINE_MS, ctypes.byref(n)))
        data = data[n.value :]


def receive(stream):
    """Receives until the end."""
    data, buffer, n = b"", ctypes.create_string_buffer(65536), size(1)
    while n.value > 0:
        ok(byway.byway_recv(stream, buffer, len(buffer), DEADLINE_MS, ctypes.byref(n)))
        data += buffer.raw[: n.value]
    return data


def main():
    """Two clients, a stream, an error."""
    config = Config()
    ok(byway.byway_config_default(config, ctypes.sizeof(config)))
    config.relay_url = os.environ["BYWAY_TEST_RELAY"].encode()
    listening = made(byway.byway_client_open, config, DEADLINE_MS)
    connecting = made(byway.byway_client_open, config, DEADLINE_MS)
    listener = made(byway.byway_listen, listening, b"python:1", DEADLINE_MS)
    near = made(byway.byway_connect, connecting, b"python:1", DEADLINE_MS)
    far = made(byway.byway_accept, listener, DEADLINE_MS)

    message = bytes(i * i % 251 for i in range(100_000))
    send(near, message)
    ok(byway.byway_close(near, DEADLINE_MS))
    assert receive(far) == message
    assert byway.byway_close(near, 0) == BYWAY_ERROR_HANDLE

    try:
        made(byway.byway_connect, connecting, b"nobody:1", DEADLINE_MS)
    except OSError as error:
        assert error.errno == BYWAY_ERROR_NO_LISTENER, error
        assert "nobody listens" in str(error), error
    else:
        raise AssertionError("nobody listens, and yet it connected")

    for each in far, listener, connecting, listening:
        ok(byway.byway_close(each, DEADLINE_MS))
    print("python: byway", byway.byway_version_string().decode())


main()
