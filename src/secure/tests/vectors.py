#!/usr/bin/python3
"""Prints the vectors of `vectors.rs` beside this file: identities, key names and proofs, made by other
implementations, which are hashlib, PyNaCl (libsodium) and cryptography (OpenSSL). Debian has both, as
python3-nacl and python3-cryptography."""
import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl import bindings

ORDER = 2**252 + 27742317777372353535851937790883648493


def number(octets):
    return int.from_bytes(octets, "little")


def octets(number):
    return (number % ORDER).to_bytes(32, "little")


def point(scalar):
    return bindings.crypto_scalarmult_ed25519_base_noclamp(octets(scalar))


def clamp(octets):
    octets = bytearray(octets)
    octets[0] &= 248
    octets[31] &= 127
    octets[31] |= 64
    return bytes(octets)


def identity(seed):
    digest = hashlib.sha512(b"byway identity 1\0" + seed).digest()
    secret, prefix = clamp(digest[:32]), digest[32:]
    scalar = number(secret)
    if point(scalar)[31] >> 7:
        scalar = -scalar
    return secret, prefix, scalar, point(scalar)


def sign(prefix, scalar, key, message):
    """RFC 8032, section 5.1.6, for a scalar that is no seed's."""
    nonce = number(hashlib.sha512(prefix + message).digest())
    commitment = point(nonce)
    challenge = number(hashlib.sha512(commitment + key + message).digest())
    return commitment + octets(nonce + challenge * scalar)


print("pub const VECTORS: [Vector; 4] = [")
for i in range(4):
    seed, session = bytes([i] * 32), bytes(range(16 * i, 16 * i + 16))
    host = ["relay.example.org", "192.0.2.7", "2001:db8::1", "localhost"][i]
    secret, prefix, scalar, key = identity(seed)
    assert key[31] >> 7 == 0
    x25519 = bindings.crypto_sign_ed25519_pk_to_curve25519(key)
    agreed = X25519PrivateKey.from_private_bytes(secret).public_key()
    agreed = agreed.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert x25519 == agreed, "the Montgomery form is the X25519 key of the clamped scalar"
    address = hashlib.sha256(session).digest()[:16]
    digest = hashlib.sha256(host.encode()).digest()
    message = b"byway proof of a key 1\0" + address + digest
    signature = sign(prefix, scalar, key, message)
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    name = "k." + base64.urlsafe_b64encode(key).decode().rstrip("=")
    print("    Vector {")
    print(f"        seed: [{i}; 32],")
    print(f"        key: \"{key.hex()}\",")
    print(f"        name: \"{name}\",")
    print(f"        x25519_secret: \"{secret.hex()}\",")
    print(f"        x25519_public: \"{x25519.hex()}\",")
    print(f"        session: \"{session.hex()}\",")
    print(f"        host: \"{host}\",")
    print(f"        signature: \"{signature.hex()}\",")
    print(f"        is_negated: {str(scalar < 0).lower()},")
    print("    },")
print("];")
