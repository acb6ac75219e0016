# shellcheck shell=bash
#
# encrypt.bash - what the tests of encrypt share: volumes as cheap to open as
# can be, since key derivations are slow in an emulated machine; made here or
# by cryptsetup, opened here or by the kernel's dm-crypt.

load backing

setup() {
	common_setup
	passphrase=$(openssl rand -hex 16)
	printf %s "$passphrase" >key
	printf %s "another one" >key2
}

# costs KDF UNIT: options that make it cheap; UNIT is K for ours, which is told
# the memory with a unit, and nothing for cryptsetup
costs() {
	case $1 in
	pbkdf2) echo --pbkdf pbkdf2 --pbkdf-force-iterations 1000 ;;
	*) echo --pbkdf "$1" --pbkdf-force-iterations 4 --pbkdf-parallel 1 \
		--pbkdf-memory "32$2" ;;
	esac
}

# made WHO KDF OPTION... FILE: a volume, made by "bdus" or "cryptsetup"
made() {
	local options
	case $1 in
	bdus)
		read -ra options < <(costs "$2" K)
		bdus encrypt format --key-file key "${options[@]}" "${@:3}"
		;;
	cryptsetup)
		read -ra options < <(costs "$2" '')
		cryptsetup luksFormat --batch-mode --key-file key \
			"${options[@]}" "${@:3}"
		;;
	esac
}

# volume SIZE [OPTION...]: "file" is a volume, of that size with its header
volume() {
	truncate -s "$1" file
	made bdus pbkdf2 "${@:2}" file
}

# opened [OPTION...] FILE: by ours, with the key file
opened() { start bdus encrypt --key-file key "$@"; }

# refused STATUS TEXT ARG...: bdus encrypt ARG... ends with STATUS, and says
# TEXT
refused() {
	run -"$1" --separate-stderr timeout 20 bdus encrypt "${@:3}" </dev/null
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $output && $stderr == "bdus encrypt"*": "*"$2"* ]] || {
		echo "$output" "$stderr"
		return 1
	}
}
