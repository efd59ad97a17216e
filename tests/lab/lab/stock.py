"""Debian's stock kernels, unpacked and not installed, and the disks that the lab starts them from.

What takes long is kept in build-stock/ until something changes that goes into it: the kernels, and for each a disk with
its modules and the files of those Debian packages that the lab needs, as they are on this host. The checkout and the
programs that were built come on a disk of their own, made for each run. No step wants root, or a mount.
"""

import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import tools

HERE = Path(__file__).resolve().parent
CACHE = tools.ROOT / "build-stock"
SERIES = ("6.12", "6.1")  # the first is the usual one

# Beside the essential packages. All else comes with what these depend on; the shared libraries of the programs come with
# the programs.
PACKAGES = ["curl", "iproute2", "ipvsadm", "iptables", "kmod", "mount", "nftables", "procps", "python3", "python3-pytest", "tcpdump"]
# The parts of a kernel's modules that the lab may use.
MODULES = ["kernel/net", "kernel/lib", "kernel/crypto", "kernel/arch/x86/crypto", "kernel/drivers/net"]
USELESS = re.compile(r"/(wireless|ethernet|bluetooth|mac80211|can|usb|wan|hamradio|phy)/")
USELESS_FILES = re.compile(r"^/(usr/share/(doc|man|locale|info|bash-completion|perl)|usr/lib/x86_64-linux-gnu/perl|var)/")
# What dpkg does not list as a package's.
GENERATED = ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/alternatives"]


def series():
    """The one that LVSMESH_KERNEL asks for."""
    choice = os.environ.get("LVSMESH_KERNEL", SERIES[0])
    if choice not in SERIES:
        sys.exit(f"LVSMESH_KERNEL={choice}: want {' or '.join(SERIES)}")
    return choice


class Kernel:
    """An unpacked kernel: `image` is what boots, `modules` the folder of its modules."""

    def __init__(self, tree):
        self.tree = tree
        self.image = Path(glob.glob(f"{tree}/boot/vmlinuz-*")[0])
        self.modules = Path(glob.glob(f"{tree}/lib/modules/*")[0])
        self.version = self.modules.name

    def module(self, file):
        """The content of a module, whose file may be compressed."""
        data = (self.modules / file).read_bytes()
        return lzma.decompress(data) if file.endswith(".xz") else data

    def load_order(self, *names):
        """The files of modules and of what they need, so that each can be loaded when its turn comes; of what is built
        in there is no file."""
        if not (self.modules / "modules.dep").exists():
            subprocess.run(["depmod", "-b", self.tree, self.version], check=True)
        lines = [line.split(":") for line in (self.modules / "modules.dep").read_text().splitlines()]
        needs = {_module_name(file): [*reversed(rest.split()), file] for file, rest in lines}
        return list(dict.fromkeys(file for name in names for file in needs.get(name, [])))


def _module_name(file):
    return os.path.basename(file).split(".ko")[0].replace("-", "_")


def prepare():
    """(kernel, disk): the newest kernel of the series that the archive has, or the one that was unpacked before where it
    can't be had, and the disk to start it from. Ends the program if there is none."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = _kernel(series())
        return kernel, _system_disk(kernel)


def _kernel(wanted):
    folder = CACHE / wanted
    pattern = re.compile(rf"linux-image-{re.escape(wanted)}\.[0-9]+(-[0-9]+|\+(deb|bpo)[0-9]+)-amd64")
    known = subprocess.run(["apt-cache", "pkgnames", f"linux-image-{wanted}"], capture_output=True, text=True).stdout
    packages = sorted(filter(pattern.fullmatch, known.split()), key=lambda name: [int(n) for n in re.findall("[0-9]+", name)])
    for package in reversed(packages):
        tree = folder / package
        if tree.exists() or _unpack(package, tree):
            for other in folder.iterdir():
                if other != tree:
                    shutil.rmtree(other)
            return Kernel(tree)
    unpacked = sorted(folder.glob("linux-image-*"))
    if not unpacked:
        sys.exit(f"no stock kernel {wanted}: the archive of this machine (apt-cache, apt-get download) has none")
    return Kernel(unpacked[-1])


def _unpack(package, tree):
    """True if the archive has the package."""
    part = tree.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], cwd=part).returncode:
        shutil.rmtree(part)
        return False
    archive = next(part.glob("*.deb"))
    subprocess.run(["dpkg", "-x", archive, part], check=True)
    archive.unlink()
    part.rename(tree)
    return True


# The disk with the system

def _system_disk(kernel):
    packages = _with_dependencies(PACKAGES)
    key = hashlib.sha256(repr((sorted(packages.items()), kernel.tree.name, Path(__file__).read_text())).encode())
    disk = CACHE / f"{series()}-{key.hexdigest()[:16]}.img"
    if not disk.exists():
        print(f"making the disk of the stock kernel {kernel.version}", file=sys.stderr, flush=True)
        for old in CACHE.glob(f"{series()}-*.img"):
            old.unlink()
        with Stage(CACHE / "stage") as stage:
            for file in _files_of(packages):
                stage.copy(file)
            _copy_modules(kernel, stage)
            for folder in ("proc", "sys", "dev", "run", "tmp", "mnt", "root", "var/tmp", "etc/modprobe.d"):
                (stage.root / folder).mkdir(parents=True, exist_ok=True)
            stage.make_disk(disk)
    return disk


def _with_dependencies(names):
    """{package: version} of these packages, the essential ones, and all that they depend on, as installed here."""
    fields = "${Package}\t${Version}\t${Pre-Depends}, ${Depends}\t${Provides}\t${Essential}\t${db:Status-Abbrev}\n"
    lines = subprocess.run(["dpkg-query", "-W", "-f", fields], capture_output=True, text=True, check=True).stdout
    installed, provided, left = {}, {}, list(names)
    for line in lines.splitlines():
        name, version, depends, provides, essential, status = line.split("\t")
        if status.startswith("ii"):
            installed[name] = version, _names(depends)
            provided.update({other: name for other in _names(provides)})
            left += [name] if essential == "yes" else []
    found = {}
    while left:
        name = left.pop()
        name = name if name in installed else provided.get(name)
        if name and name not in found:
            found[name], depends = installed[name]
            left += depends
    return found


def _names(relations):
    """All names in a field of dpkg's: of alternatives what is installed counts."""
    return [name for word in re.split("[,|]", relations) for name in re.findall(r"^\s*([a-z0-9][a-z0-9+.-]+)", word)]


def _files_of(packages):
    listed = subprocess.run(["dpkg", "-L", *packages], capture_output=True, text=True, check=True).stdout.split("\n")
    links = [entry.path for folder in ("/usr/bin", "/usr/sbin") for entry in os.scandir(folder)
             if entry.is_symlink() and os.readlink(entry.path).startswith("/etc/alternatives/")]
    for file in dict.fromkeys(listed + links + GENERATED):
        if file.startswith("/") and not USELESS_FILES.match(file) and os.access(file, os.R_OK):
            yield file
            if file.endswith(".py"):
                folder, name = os.path.split(file)
                yield from glob.glob(f"{glob.escape(folder)}/__pycache__/{name[:-3]}.cpython-*.pyc")


def _copy_modules(kernel, stage):
    """Unpacked: to unpack them in an emulator takes long."""
    target = stage.root / "usr/lib/modules" / kernel.version
    for part in MODULES:
        for file in (kernel.modules / part).rglob("*.ko*"):
            name = str(file.relative_to(kernel.modules))
            if not USELESS.search(name):
                copy = target / name.removesuffix(".xz")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(kernel.module(name))
    for file in kernel.modules.glob("modules.builtin*"):
        shutil.copy(file, target)
    (target / "modules.order").write_text((kernel.modules / "modules.order").read_text().replace(".ko.xz", ".ko"))
    subprocess.run(["depmod", "-b", stage.root, kernel.version], check=True)


# The disk with lvsmesh

def project_disk(disk, cwd):
    """The checkout's tests, what was built, and its shared libraries, all where they are here."""
    build = tools.build_directory()
    programs = [file for folder in ("director", "tests/lab", "tests/alert") for file in (build / folder).rglob("*")
                if file.is_file() and os.access(file, os.X_OK) and file.suffix not in (".so", ".a", ".o")]
    libraries = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    with Stage(disk.with_suffix(".stage")) as stage:
        for file in programs + sorted(set(re.findall(r"(/\S+) \(0x", libraries))):
            stage.copy(file, follow=True)
        for folder in ("tests/lab", "deploy"):
            for file in (tools.ROOT / folder).rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    stage.copy(file)
        subprocess.run([sys.executable, "-m", "compileall", "-q", "-s", stage.root, stage.path(tools.ROOT / "tests")],
                       stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPYCACHEPREFIX": ""})
        stage.path(cwd).mkdir(parents=True, exist_ok=True)
        stage.make_disk(disk)


class Stage:
    """A folder that becomes a disk. Use as a context manager: at the end the folder is gone."""

    def __init__(self, root):
        self.root = Path(root)

    def __enter__(self):
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in ("bin", "sbin", "lib", "lib64"):
            (self.root / "usr" / folder).mkdir(parents=True)
            (self.root / folder).symlink_to(f"usr/{folder}")
        return self

    def __exit__(self, *failure):
        shutil.rmtree(self.root)

    def path(self, file):
        """Where a file of the host's is here: links to folders, as /lib, are followed."""
        folder, name = os.path.split(file)
        return self.root / os.path.realpath(folder).lstrip("/") / name

    def copy(self, file, follow=False):
        """A file or a link; of a folder nothing but its existence, unless it is not a package's."""
        target = self.path(file)
        if os.path.isdir(file) and not os.path.islink(file):
            if str(file) in GENERATED:
                shutil.copytree(file, target, symlinks=True, dirs_exist_ok=True)
            return
        if os.path.lexists(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target, follow_symlinks=follow)

    def make_disk(self, disk):
        """All at once: a disk that is there is whole."""
        size = int(subprocess.run(["du", "-sm", "--apparent-size", self.root], capture_output=True, text=True,
                                  check=True).stdout.split()[0])
        part = disk.with_suffix(".part")
        part.unlink(missing_ok=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d", self.root,
                        part, f"{size * 13 // 10 + 32}M"], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})
        part.rename(disk)
