"""Certificates are retained as long as they are valid for their names, and made again otherwise."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509

from lab.control_plane.certificates import Authority, Subject, split

SERVER = Subject("server")


def test_a_pair_is_kept_while_authority_subject_and_names_stay(tmp_path: Path) -> None:
    authority, file = Authority.self_signed("lab"), tmp_path / "pair.pem"
    first = authority.keep_signed(file, SERVER, ["localhost", "127.0.0.1"]).read_bytes()
    assert authority.keep_signed(file, SERVER, ["localhost", "127.0.0.1"]).read_bytes() == first
    assert file.stat().st_mode & 0o077 == 0


def test_another_authority_subject_or_name_makes_a_new_pair(tmp_path: Path) -> None:
    authority, file = Authority.self_signed("lab"), tmp_path / "pair.pem"
    seen = {authority.keep_signed(file, SERVER, ["localhost"]).read_bytes()}
    seen.add(authority.keep_signed(file, SERVER, ["localhost", "api"]).read_bytes())
    seen.add(authority.keep_signed(file, Subject("server", ("group",)), ["localhost", "api"]).read_bytes())
    seen.add(Authority.self_signed("lab").keep_signed(file, SERVER, ["localhost", "api"]).read_bytes())
    file.write_bytes(file.read_bytes()[:100])
    seen.add(authority.keep_signed(file, SERVER).read_bytes())
    assert len(seen) == 5


def test_an_authority_survives_being_written_down() -> None:
    made = Authority.self_signed("lab")
    read = Authority.from_pem(made.pem, made.key_pem)
    certificate, _ = split(read.sign(SERVER))
    x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(made.certificate)


def test_a_client_that_trusts_the_authority_accepts_the_server(tmp_path: Path) -> None:
    authority = Authority.self_signed("lab")
    pair = authority.keep_signed(tmp_path / "pair.pem", SERVER, ["localhost"])
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pair)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with serving.wrap_socket(connection, server_side=True) as secured:
                secured.sendall(b"hello")

        thread = threading.Thread(target=answer)
        thread.start()
        trusting = ssl.create_default_context(cadata=authority.pem.decode())
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(listener.getsockname()) as raw,
            trusting.wrap_socket(raw, server_hostname="localhost") as secured,
        ):
            assert secured.recv(5) == b"hello"
        thread.join()
