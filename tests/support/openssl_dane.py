"""OpenSSL's own DANE verification as an oracle, called in the system's library.

No handshake and no process: the presented chain goes straight into ``X509_verify_cert``, set up as
``ssl_verify_cert_chain`` of a client sets it up. That is the code under Postfix, Exim, and most
other senders that enforce DANE, and it takes some 100 microseconds.
"""

import ctypes
import ctypes.util
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_ubyte, c_uint8, c_ulong
from ctypes import c_void_p as pointer
from dataclasses import dataclass
from datetime import datetime
from functools import cache

NO_DANE_EE_NAME_CHECKS = 1  # DANE_FLAG_NO_DANE_EE_NAMECHECKS, as RFC 7672 §3.1.1 demands
NO_PARTIAL_WILDCARDS = 4  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, as RFC 7672 §3.2.3 demands

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "TLS_client_method": (pointer, []),
    "SSL_CTX_new": (pointer, [pointer]),
    "SSL_CTX_dane_enable": (c_int, [pointer]),
    "SSL_new": (pointer, [pointer]),
    "SSL_free": (None, [pointer]),
    "SSL_dane_enable": (c_int, [pointer, c_char_p]),
    "SSL_add1_host": (c_int, [pointer, c_char_p]),
    "SSL_set_hostflags": (None, [pointer, c_int]),
    "SSL_dane_set_flags": (c_ulong, [pointer, c_ulong]),
    "SSL_dane_tlsa_add": (c_int, [pointer, c_uint8, c_uint8, c_uint8, c_char_p, c_size_t]),
    "SSL_get0_dane": (pointer, [pointer]),
    "SSL_get0_param": (pointer, [pointer]),
    "SSL_get0_dane_tlsa": (
        c_int,
        [
            pointer,
            POINTER(c_uint8),
            POINTER(c_uint8),
            POINTER(c_uint8),
            POINTER(POINTER(c_ubyte)),
            POINTER(c_size_t),
        ],
    ),
}
_CRYPTO_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "d2i_X509": (pointer, [pointer, POINTER(c_char_p), c_long]),
    "X509_free": (None, [pointer]),
    "OPENSSL_sk_new_null": (pointer, []),
    "OPENSSL_sk_push": (c_int, [pointer, pointer]),
    "OPENSSL_sk_free": (None, [pointer]),
    "X509_STORE_new": (pointer, []),
    "X509_STORE_CTX_new": (pointer, []),
    "X509_STORE_CTX_free": (None, [pointer]),
    "X509_STORE_CTX_init": (c_int, [pointer, pointer, pointer, pointer]),
    "X509_STORE_CTX_set0_dane": (None, [pointer, pointer]),
    "X509_STORE_CTX_set_default": (c_int, [pointer, c_char_p]),
    "X509_STORE_CTX_get0_param": (pointer, [pointer]),
    "X509_STORE_CTX_get_error": (c_int, [pointer]),
    "X509_VERIFY_PARAM_set1": (c_int, [pointer, pointer]),
    "X509_VERIFY_PARAM_set_time": (None, [pointer, c_long]),
    "X509_VERIFY_PARAM_set_auth_level": (None, [pointer, c_int]),
    "X509_verify_cert": (c_int, [pointer]),
    "X509_verify_cert_error_string": (c_char_p, [c_long]),
    "ERR_clear_error": (None, []),
}


@dataclass(frozen=True, kw_only=True)
class OpenSslVerdict:
    """What OpenSSL says: ``usage`` of the record that matched, or the error in its own words.

    ``usable`` tells for each record, in order, whether OpenSSL took it.
    """

    matched: bool
    usage: int | None
    error: str
    usable: tuple[bool, ...]


def openssl_verdict(
    chain: Sequence[bytes],
    records: Sequence[tuple[int, int, int, bytes]],
    names: Sequence[str],
    now: datetime,
    *,
    security_level: int = 0,
) -> OpenSslVerdict:
    """Verify ``chain`` (DER, leaf first) against records of (usage, selector, type, data)."""
    ssl, crypto, context, store = _library()
    connection = ssl.SSL_new(context)
    certificates = [_certificate(crypto, item) for item in chain]
    untrusted = crypto.OPENSSL_sk_new_null()
    verification = crypto.X509_STORE_CTX_new()
    try:
        usable = _configure(ssl, connection, records, names)
        for certificate in certificates[1:]:
            assert crypto.OPENSSL_sk_push(untrusted, certificate) > 0
        assert crypto.X509_STORE_CTX_init(verification, store, certificates[0], untrusted) == 1
        parameters = crypto.X509_STORE_CTX_get0_param(verification)
        crypto.X509_STORE_CTX_set0_dane(verification, ssl.SSL_get0_dane(connection))
        assert crypto.X509_STORE_CTX_set_default(verification, b"ssl_server") == 1
        assert crypto.X509_VERIFY_PARAM_set1(parameters, ssl.SSL_get0_param(connection)) == 1
        crypto.X509_VERIFY_PARAM_set_auth_level(parameters, security_level)
        crypto.X509_VERIFY_PARAM_set_time(parameters, int(now.timestamp()))
        accepted = crypto.X509_verify_cert(verification) == 1
        error = crypto.X509_STORE_CTX_get_error(verification)
        usage = _matched_usage(ssl, connection) if accepted else None
        return OpenSslVerdict(
            matched=accepted and usage is not None,
            usage=usage,
            error=crypto.X509_verify_cert_error_string(error).decode(),
            usable=usable,
        )
    finally:
        crypto.ERR_clear_error()
        crypto.X509_STORE_CTX_free(verification)
        crypto.OPENSSL_sk_free(untrusted)
        for certificate in certificates:
            crypto.X509_free(certificate)
        ssl.SSL_free(connection)


@cache
def _library() -> tuple[ctypes.CDLL, ctypes.CDLL, int, int]:
    found = ctypes.util.find_library("ssl"), ctypes.util.find_library("crypto")
    assert all(found), "libssl is missing: apt-get install libssl3"
    ssl, crypto = (ctypes.CDLL(name) for name in found)
    for library, signatures in ((ssl, _SIGNATURES), (crypto, _CRYPTO_SIGNATURES)):
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    context = ssl.SSL_CTX_new(ssl.TLS_client_method())
    assert context
    assert ssl.SSL_CTX_dane_enable(context) == 1
    return ssl, crypto, context, crypto.X509_STORE_new()


def _certificate(crypto: ctypes.CDLL, data: bytes) -> int:
    certificate = crypto.d2i_X509(None, byref(c_char_p(data)), len(data))
    assert certificate, "OpenSSL cannot read this certificate, so no handshake would deliver it"
    return int(certificate)


def _configure(
    ssl: ctypes.CDLL,
    connection: int,
    records: Sequence[tuple[int, int, int, bytes]],
    names: Sequence[str],
) -> tuple[bool, ...]:
    assert ssl.SSL_dane_enable(connection, names[0].encode()) == 1
    for name in names[1:]:
        assert ssl.SSL_add1_host(connection, name.encode()) == 1
    ssl.SSL_set_hostflags(connection, NO_PARTIAL_WILDCARDS)
    ssl.SSL_dane_set_flags(connection, NO_DANE_EE_NAME_CHECKS)
    return tuple(
        ssl.SSL_dane_tlsa_add(connection, usage, selector, kind, data, len(data)) == 1
        for usage, selector, kind, data in records
    )


def _matched_usage(ssl: ctypes.CDLL, connection: int) -> int | None:
    usage = c_uint8()
    depth = ssl.SSL_get0_dane_tlsa(connection, byref(usage), None, None, None, None)
    return usage.value if depth >= 0 else None
