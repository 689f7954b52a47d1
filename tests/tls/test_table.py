"""What is offered and what is not, each asked for by itself, as testssl.sh and SSL Labs do it."""
import re
import subprocess

import pytest

from handshakes import ALERT, HANDSHAKE, HELLO_RETRY, PROTOCOL_VERSION, agreed, answer, client_hello, extension, s_client, vector

ANY_LEVEL = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
SUITES_13 = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}
SUITES_12 = {"AES256-GCM-SHA384", "CHACHA20-POLY1305", "AES128-GCM-SHA256"}
X25519_MLKEM768 = 0x11ec


def suites(version):
    """All that OpenSSL knows, weak ones too."""
    listed = subprocess.run(["openssl", "ciphers", version, ANY_LEVEL], check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.strip().split(":") if name.startswith("TLS_") == (version == "-tls1_3")]


@pytest.mark.parametrize("option, version", [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")])
def test_two_versions_are_spoken_and_the_certificate_is_believed(each, option, version):
    said = s_client(each.port, option, "-verify_return_error", "-verify_hostname", "localhost")
    assert agreed(said)[0] == version
    assert "Verify return code: 0 (ok)" in said or "Verification: OK" in said


def test_the_newer_one_is_chosen(server):
    assert agreed(s_client(server.port))[0] == "TLSv1.3"


@pytest.mark.parametrize("option", ["-tls1_1", "-tls1"])
def test_older_versions_are_refused_by_an_alert(server, option):
    said = s_client(server.port, option, "-cipher", ANY_LEVEL)
    assert agreed(said) is None
    assert re.search("SSL alert number (70|40)", said), said


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302])
def test_a_hello_of_an_older_version_is_refused_by_an_alert_that_says_so(server, version):
    groups = extension(10, vector(b"\x00\x1d")) + extension(13, vector(b"\x04\x03"))
    kind, content = answer(server.port, client_hello(version, extensions=groups))
    assert (kind, content[1]) == (ALERT, PROTOCOL_VERSION)


def test_ssl_2_is_not_answered_with_a_handshake(server):
    said = answer(server.port, bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + b"c" * 16)
    assert said is None or said[0] != HANDSHAKE


def test_of_all_suites_of_1_3_the_three_are_spoken_that_everybody_has(server):
    assert len(suites("-tls1_3")) >= 3
    every = [*suites("-tls1_3"), "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"]
    spoken = {suite for suite in every if agreed(s_client(server.port, "-tls1_3", "-ciphersuites", suite))}
    assert spoken == SUITES_13


def test_of_all_suites_of_1_2_only_those_with_forward_secrecy_and_authenticated_encryption_are_spoken(each):
    every = suites("-tls1_2")
    assert len(every) > 50, "weak ones are tried, too"
    spoken = {suite for suite in every if agreed(s_client(each.port, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0"))}
    key = {"ec": "ECDSA", "rsa": "RSA"}[each.kind]
    assert spoken == {f"ECDHE-{key}-{suite}" for suite in SUITES_12}


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_keys_are_agreed_on_by_three_curves(servers, version):
    every = ["X25519", "P-256", "P-384", "P-521", "X448", "ffdhe2048", "ffdhe3072"]
    # With 1.2 the curve of a certificate has to be one of these, too: here it has none.
    port = servers["rsa"].port
    spoken = [group for group in every if agreed(s_client(port, version, "-groups", group))]
    assert spoken == ["X25519", "P-256", "P-384"]


def test_whoever_prefers_a_key_that_withstands_quantum_computers_is_asked_for_it(server):
    """OpenSSL before 3.5 knows none, so it is offered without a share: the answer asks for one (RFC 8446 §4.1.4)."""
    groups = extension(10, vector(X25519_MLKEM768.to_bytes(2, "big")))
    rest = extension(13, vector(b"\x04\x03")) + extension(43, vector(b"\x03\x04", 1)) + extension(51, vector(b""))
    kind, content = answer(server.port, client_hello(extensions=groups + rest))
    assert kind == HANDSHAKE and HELLO_RETRY in content
    assert content.endswith(X25519_MLKEM768.to_bytes(2, "big")) or extension(51, X25519_MLKEM768.to_bytes(2, "big")) in content


@pytest.mark.parametrize("algorithms, signed", [
    ("ecdsa_secp256r1_sha256", {"ec"}), ("rsa_pss_rsae_sha256", {"rsa"}), ("rsa_pss_rsae_sha512", {"rsa"}),
    ("ECDSA+SHA1:RSA+SHA1", set()), ("RSA+SHA224:ECDSA+SHA224", set()),
])
def test_a_signature_is_one_that_the_key_makes_and_never_by_sha1(each, algorithms, signed):
    for version in ["-tls1_3", "-tls1_2"]:
        said = s_client(each.port, version, "-sigalgs", algorithms, "-cipher", "DEFAULT:@SECLEVEL=0")
        assert bool(agreed(said)) == (each.kind in signed), said


def test_nothing_is_compressed_and_no_data_is_taken_early(each):
    for version in ["-tls1_3", "-tls1_2"]:
        said = s_client(each.port, version, "-comp", "-cipher", "DEFAULT:@SECLEVEL=0")
        assert "Compression: NONE" in said and "Expansion: NONE" in said
        assert "Early data was accepted" not in said
        assert "Max Early Data: 0" in said or "Max Early Data" not in said


def test_whoever_can_only_compress_is_refused(server):
    groups = extension(10, vector(b"\x00\x1d")) + extension(13, vector(b"\x04\x03"))
    kind, _ = answer(server.port, client_hello(compression=b"\1", extensions=groups))
    assert kind == ALERT


def test_with_1_2_keys_are_bound_to_the_handshake(server):
    said = s_client(server.port, "-tls1_2")
    assert "Secure Renegotiation IS supported" in said
    assert "Extended master secret: yes" in said


def test_http_1_1_is_chosen_and_whoever_speaks_only_http_2_is_refused(each):
    for version in ["-tls1_3", "-tls1_2"]:
        assert "ALPN protocol: http/1.1" in s_client(each.port, version, "-alpn", "h2,http/1.1")
        assert "No ALPN negotiated" in s_client(each.port, version)
        said = s_client(each.port, version, "-alpn", "h2")
        assert agreed(said) is None and "alert no application protocol" in said.lower()


@pytest.mark.parametrize("name", [["-servername", "localhost"], ["-servername", "events.example.com"], ["-noservername"]])
def test_whatever_name_a_client_asks_for_the_certificate_is_shown(server, name):
    assert agreed(s_client(server.port, *name, "-verify_return_error"))
