"""Certificates of the tests' servers, made by openssl for the time of the run."""

import subprocess

import pytest

CA = """[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
copy_extensions = copyall
[any]
commonName = supplied
"""


class Certificates:
    def __init__(self, folder):
        self.folder = folder
        (folder / "ca.cnf").write_text(CA.format(folder=folder))
        (folder / "index").write_text("")
        (folder / "index.attr").write_text("unique_subject = no\n")
        (folder / "serial").write_text("01\n")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a CA",
                     "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "ca.key", "-out", "ca.pem")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def make(self, name, begin="20200101000000Z", end="20490101000000Z", san=None):
        """A certificate for the name, and its key, in one file."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-addext", f"subjectAltName={san or 'DNS:' + name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-startdate", begin,
                     "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.crt")
        file = self.folder / f"{name}.pem"
        file.write_text((self.folder / f"{name}.key").read_text() + (self.folder / f"{name}.crt").read_text())
        return str(file)

    @property
    def ca(self):
        return str(self.folder / "ca.pem")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))
