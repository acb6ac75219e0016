# shellcheck shell=bash
#
# encrypt-cli.bash - what the native tests of encrypt's actions share. They
# work on regular files in $BATS_TEST_TMPDIR and make key derivations cheap.

bats_require_minimum_version 1.5.0

setup() {
	command -v cryptsetup >/dev/null || skip "no cryptsetup"
	top=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	bdus=$(realpath "${BDUS:-$top/build/bdus}")
	cd "$BATS_TEST_TMPDIR" || return
	pbkdf2=(--pbkdf pbkdf2 --pbkdf-force-iterations 1000)
	argon2=(--pbkdf-force-iterations 4 --pbkdf-memory 32K
		--pbkdf-parallel 1)
	their_pbkdf2=("${pbkdf2[@]}")
	their_argon2=(--pbkdf-force-iterations 4 --pbkdf-memory 32
		--pbkdf-parallel 1)
}

fail() {
	echo "$*" >&2
	return 1
}

wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if ((SECONDS > end)); then
			fail "waited in vain for: $*"
			return 1
		fi
		sleep 0.02
	done
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# ends_with STATUS PID: a child
ends_with() {
	local status=0
	wait "$2" || status=$?
	[[ $status == "$1" ]] || fail "ended with $status"
}

encrypt() { "$bdus" encrypt "$@"; }

# ours FILE PASSPHRASE [OPTION...], theirs likewise: a new volume of 20 MiB
ours() {
	[[ -e $1 ]] || truncate -s 20M "$1"
	encrypt format "${@:3}" "$1" <<<"$2"
}
theirs() {
	[[ -e $1 ]] || truncate -s 20M "$1"
	cryptsetup luksFormat -q "${@:3}" "$1" <<<"$2"
}

# Cheap ones, for tests of other things.
luks1() { ours "$1" "$2" --type luks1 --pbkdf-force-iterations 1000 "${@:3}"; }
luks2() { ours "$1" "$2" "${argon2[@]}" "${@:3}"; }

# opens FILE PASSPHRASE [SLOT]: for both programs
opens() {
	local slot
	cryptsetup open --test-passphrase "$1" <<<"$2" || return
	slot=$(encrypt test-key "$1" <<<"$2") || return
	[[ ! ${3-} || $slot == "$3" ]]
}

# fails_to_open FILE PASSPHRASE: with 3 here, 2 there
fails_to_open() {
	local status=0
	encrypt test-key "$1" <<<"$2" 2>/dev/null || status=$?
	[[ $status == 3 ]] || fail "test-key: $status"
	status=0
	cryptsetup open --test-passphrase "$1" <<<"$2" 2>/dev/null || status=$?
	[[ $status == 2 ]] || fail "cryptsetup: $status"
}

# refused STATUS MESSAGE ACTION...: nothing on stdout; stdin is the test's
refused() {
	local status_wanted=$1 what=$2
	shift 2
	run "-$status_wanted" --separate-stderr "$bdus" encrypt "$@"
	[[ -z $output ]] || fail "prints to stdout: $*"
	# shellcheck disable=SC2154 # bats sets it
	[[ $stderr == "bdus encrypt $1: "*"$what"* ]] || fail "$*: $stderr"
}

# unchanged FILE: since sum FILE
sum() { sha256sum "$1" >"$1.sum"; }
unchanged() { sha256sum --quiet -c "$1.sum"; }

# A value of info --json, by a path as of jq.
field() { encrypt info --json "$1" | jq -r "$2"; }
