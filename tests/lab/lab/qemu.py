"""The lab on a stock kernel: an emulator with two processors, and KVM only where LVSMESH_ACCEL=kvm says that it is to be
used, since a KVM below another hypervisor may be there and not work."""

import os
import shutil
import sys
from pathlib import Path

from . import stock

HERE = Path(__file__).resolve().parent.parent
EMULATOR = "qemu-system-x86_64"
PROCESSORS = 2
SLOWNESS = 6  # of emulation; measured: a scenario takes three to five times as long as in User-Mode Linux

# Without them there is no root; all other modules are loaded from there.
FIRST_MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_rng", "virtio_blk", "crc32c_generic",
                 "crc32c_intel", "ext4")
# The kernel's own complaints that say something is wrong with it, or with what was asked of it.
COMPLAINTS = ("BUG:", "WARNING:", "Call Trace", "Kernel panic", "lab init:")


def check():
    missing = [name for name in (EMULATOR, "mke2fs", "depmod") if not shutil.which(name, path=_path())]
    if missing or not Path("/bin/busybox").exists():
        sys.exit(f"the lab on a stock kernel lacks {', '.join(missing) or 'busybox'}; "
                 "apt install qemu-system-x86 busybox-static e2fsprogs kmod")


def _path():
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _kvm():
    return os.environ.get("LVSMESH_ACCEL") == "kvm"


def slowness():
    return 1 if _kvm() else SLOWNESS


def argv(own, memory, tty, share, cwd):
    """Makes what the kernel starts from, in the folder `own`, and returns the emulator's command line."""
    own = Path(own)
    kernel, system = stock.prepare()
    stock.project_disk(own / "project.img", Path(cwd))
    _initramfs(kernel, own / "initramfs")
    # tsc=reliable: without it an emulated clock is called unstable, and a slower one is read.
    append = ["console=ttyS0", "quiet", "loglevel=5", "panic=-1", "mitigations=off", "random.trust_cpu=on", "tsc=reliable",
              f"LAB_DIR={own}", f"LAB_INIT={HERE}/init", f"LAB_SHARE={share or ''}"]
    if tty:
        columns, lines = os.get_terminal_size(0)
        append.append(f"LAB_TTY={lines}x{columns}")
    command = [EMULATOR, "-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
               "-smp", str(PROCESSORS), "-m", memory, "-kernel", str(kernel.image), "-initrd", str(own / "initramfs"),
               "-append", " ".join(append), "-serial", f"file:{own}/serial", "-device", "virtio-rng-pci",
               "-chardev", "stdio,id=terminal,signal=off", "-device", "virtio-serial-pci",
               "-device", "virtconsole,chardev=terminal"]
    command += ["-accel", "kvm", "-cpu", "host"] if _kvm() else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    for name, disk in (("a", system), ("b", own / "project.img")):
        command += ["-drive", f"file={disk},if=none,id={name},format=raw,readonly=on,cache=unsafe",
                    "-device", f"virtio-blk-pci,drive={name}"]
    for tag, folder in [("own", own)] + [("share", share)] * bool(share):
        command += ["-fsdev", f"local,id={tag},path={folder},security_model=none,multidevs=remap",
                    "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return command


def report(own, share):
    """Keeps what the kernel said beside the command's files, and says what of it is a complaint."""
    serial = Path(own) / "serial"
    if not serial.exists():
        return
    if share:
        shutil.copy(serial, Path(share) / "kernel.log")
    for line in serial.read_text(errors="replace").splitlines():
        if any(word in line for word in COMPLAINTS):
            print(f"kernel: {line}", file=sys.stderr)


def _initramfs(kernel, file):
    """busybox, a script, and the first modules, as a cpio archive."""
    order = kernel.load_order(*FIRST_MODULES)
    entries = [(folder, 0o040755, b"") for folder in ("bin", "modules", "dev", "proc")]
    entries.append(("bin/busybox", 0o100755, Path("/bin/busybox").read_bytes()))
    entries.append(("init", 0o100755, (HERE / "init-stock").read_bytes()))
    for module in order:
        entries.append((f"modules/{_plain(module)}", 0o100644, kernel.module(module)))
    entries.append(("modules/order", 0o100644, "".join(_plain(m) + "\n" for m in order).encode()))
    entries.append(("TRAILER!!!", 0, b""))
    with open(file, "wb") as archive:
        for number, (name, mode, data) in enumerate(entries, 1):
            fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
            header = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
            for part in (header, data):
                archive.write(part + b"\0" * (-len(part) % 4))


def _plain(module):
    return os.path.basename(module).removesuffix(".xz")
