# Sourced by deploy/demo and tests/run: what they need of Debian or Ubuntu, and its installation.

packages_build=(gcc libc6-dev meson ninja-build pkg-config libuv1-dev libsodium-dev libprotobuf-c-dev
	protobuf-c-compiler libnl-3-dev libnl-genl-3-dev libnl-route-3-dev libcyaml-dev libyaml-dev
	libcmocka-dev libjansson-dev libsmartcols-dev libcurl4-openssl-dev libc-ares-dev ca-certificates)

packages_lab=(python3 iproute2 ipvsadm iptables kmod procps)
# The lab's kernel, unless it is the host's own.
[[ ${LVSMESH_LAB-} == host ]] || packages_lab+=(user-mode-linux)

# The lab on Debian's stock kernels.
packages_stock=(qemu-system-x86 busybox-static e2fsprogs)

# What tests/bench measures lvsmesh against.
packages_beside=(conntrackd iproute2 util-linux)
packages_beside_checks=(keepalived nftables openssl iproute2)

packages_tests=(clang clang-format libclang-rt-dev git python3-pytest nftables tcpdump curl openssl util-linux)

# packages_missing PACKAGE...
packages_missing() {
	local package
	for package; do
		[[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] ||
			echo "$package"
	done
}

# install_missing LOG PACKAGE...: as root, or through sudo. What apt says goes to the file LOG.
install_missing() {
	local log=$1 missing root=()
	shift
	mapfile -t missing < <(packages_missing "$@")
	((${#missing[@]})) || return 0
	if ((EUID)); then
		root=(sudo)
		command -v sudo >/dev/null || {
			echo "missing, and neither root nor sudo here: apt install ${missing[*]}"
			return 1
		}
	fi
	echo "installing ${missing[*]}"
	{
		"${root[@]}" apt-get update -qq &&
			"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
				apt-get install -qq -y --no-install-recommends "${missing[@]}"
	} >"$log" 2>&1 || {
		tail -20 "$log"
		return 1
	}
}
