#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The command line: dispatch, help, lists, links, completion, every option of
# every driver and tool with bad values, and the man pages against the tables.
# Needs neither the kernel module nor privilege.

# Words are split, and expressions meant for another shell, on purpose:
# shellcheck disable=SC2086,SC2016

bats_require_minimum_version 1.5.0

setup() {
	top=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	bdus=$(realpath "${BDUS:-$top/build/bdus}")
	dir=$BATS_TEST_TMPDIR
}

# Calls "$1 COMMAND NAME LETTER TYPE" for all options; those that drivers have
# in common for each driver.
each_option() {
	local command name letter type driver
	while read -r command name letter type _; do
		if [[ $command == common ]]; then
			for driver in $(drivers); do
				"$1" "$driver" "$name" "$letter" "$type"
			done
		else
			"$1" "$command" "$name" "$letter" "$type"
		fi
	done < <("$bdus" --list-options)
}

# Drivers are what has a file or folder in src/drivers.
drivers() {
	local path
	for path in "$top"/src/drivers/*; do
		path=${path##*/}
		"$bdus" --list | grep -x "${path%.c}" || true
	done
}

# Runs a command, DRIVER/ACTION for an action, that must be refused with 2 and
# a message that holds $1.
refused() {
	local what=$1 who=${2/\// }
	shift 2
	run -2 --separate-stderr "$bdus" $who "$@" </dev/null
	[[ -z $output ]] || fail "prints to stdout: $who $*"
	# shellcheck disable=SC2154 # bats sets it
	[[ $stderr == "bdus $who: "*"$what"* ]] || fail "$who $*: $stderr"
}

fail() {
	echo "$*" >&2
	return 1
}

### dispatch ##################################################################

@test "no arguments: short usage on stderr, exit 2" {
	run -2 --separate-stderr "$bdus"
	[[ -z $output ]]
	[[ $stderr == "Usage: bdus NAME"* ]]
}

@test "--help, -h and help: usage with all names on stdout" {
	local words name
	for words in --help -h help; do
		run -0 --separate-stderr "$bdus" $words
		[[ -z $stderr ]]
		for name in $("$bdus" --list); do
			grep -q "^  $name " <<<"$output"
		done
	done
}

@test "--list: sorted, one name a line" {
	run -0 "$bdus" --list
	[[ $output == "$(LC_ALL=C sort -u <<<"$output")" ]]
	[[ $output != *[!a-z0-9_$'\n']* ]]
	grep -qx destroy <<<"$output"
	grep -qx ram <<<"$output"
}

@test "--list-full: the same names, with summaries" {
	run -0 "$bdus" --list-full
	[[ $(awk '{ print $1 }' <<<"$output") == "$("$bdus" --list)" ]]
	[[ -z $(awk 'NF < 2' <<<"$output") ]]
}

@test "--version: own, zstd's, jansson's, OpenSSL's, and the module's" {
	run -0 "$bdus" --version
	grep -Eq '^bdus [0-9]+\.[0-9]+\.[0-9]+$' <<<"$output"
	grep -Eq '^zstd 1\.[0-9.]+$' <<<"$output"
	grep -Eq '^jansson 2\.[0-9.]+$' <<<"$output"
	grep -Eq '^OpenSSL 3\.' <<<"$output"
	grep -Eq '^kbdus ABI of this program: [0-9]+$' <<<"$output"
	if [[ -e /sys/module/kbdus ]]; then
		grep -Eq '^kbdus \(loaded module\): .+, ABI [0-9]+$' <<<"$output"
	else
		grep -q 'module not loaded' <<<"$output"
	fi
}

@test "argv[0] bdus-NAME and NAME run NAME" {
	local name link
	for name in $("$bdus" --list); do
		for link in "bdus-$name" "$name"; do
			ln -s "$bdus" "$dir/$link"
			run -0 "$dir/$link" --help
			[[ ${lines[0]} == "Usage: bdus $name "* ]]
		done
	done
}

@test "another argv[0] is bdus itself" {
	ln -s "$bdus" "$dir/something"
	run -0 "$dir/something" --list
	[[ $output == "$("$bdus" --list)" ]]
}

@test "unknown name: 127, with the nearest names" {
	run -127 --separate-stderr "$bdus" destrpy 1
	[[ -z $output ]]
	[[ $stderr == *"unknown command 'destrpy'"*"did you mean destroy?" ]]
	run -127 --separate-stderr "$bdus" rma
	[[ $stderr == *"did you mean ram?" ]]
	run -127 --separate-stderr "$bdus" help lst
	[[ $stderr == *"did you mean list?" ]]
	run -127 --separate-stderr "$bdus" xyzzy
	[[ $stderr == *"unknown command 'xyzzy'"*"bdus --list"* ]]
	ln -s "$bdus" "$dir/bdus-xyzzy"
	run -127 "$dir/bdus-xyzzy"
	run -127 "$bdus" ''
}

@test "unknown options of bdus itself: exit 2" {
	local words
	for words in --lst -x '--list x' '--version x' --install \
		'--install -s' '--install a b' '--completion' \
		'--completion zsh'; do
		run -2 --separate-stderr "$bdus" $words
		[[ -z $output ]]
		[[ $stderr == "bdus: ${words%% *}: "* ||
			$stderr == "bdus: unknown option '${words%% *}'"* ]] ||
			fail "$words: $stderr"
	done
}

@test "standard output that cannot be written: exit 1" {
	local words
	for words in --list --version 'help ram' --help; do
		run -1 bash -c '"$0" "$@" >/dev/full' "$bdus" $words
		[[ $output == *"No space left"* ]]
	done
}

### --install #################################################################

# A copy, so that hard links have the same file system.
copy() {
	cp "$bdus" "$dir/bdus"
	mkdir "$dir/bin"
}

@test "--install makes hard links" {
	copy
	run -0 "$dir/bdus" --install "$dir/bin"
	[[ -z $output ]]
	[[ $(ls "$dir/bin") == "$("$bdus" --list | sed 's/^/bdus-/')" ]]
	[[ $dir/bin/bdus-ram -ef $dir/bdus && ! -L $dir/bin/bdus-ram ]]
	"$dir/bin/bdus-ram" --help
}

@test "--install -s makes symbolic links, short ones beside the program" {
	copy
	run -0 "$dir/bdus" --install -s "$dir/bin"
	[[ $(readlink "$dir/bin/bdus-list") == $(realpath "$dir")/bdus ]]
	"$dir/bin/bdus-list" --help
	run -0 "$dir/bdus" --install -s "$dir"
	[[ $(readlink "$dir/bdus-list") == bdus ]]
}

@test "--install again changes nothing" {
	copy
	"$dir/bdus" --install "$dir/bin"
	run -0 "$dir/bdus" --install "$dir/bin"
	[[ -z $output ]]
	mkdir "$dir/symbolic"
	"$dir/bdus" --install -s "$dir/symbolic"
	run -0 "$dir/bdus" --install -s "$dir/symbolic"
	[[ -z $output ]]
}

@test "--install does not overwrite: 5, and the others are made" {
	copy
	echo mine >"$dir/bin/bdus-flush"
	run -5 "$dir/bdus" --install "$dir/bin"
	[[ $output == *"bdus-flush: exists, and is not overwritten" ]]
	[[ $(cat "$dir/bin/bdus-flush") == mine ]]
	[[ $dir/bin/bdus-zero -ef $dir/bdus ]]
}

@test "--install into nowhere: exit 1" {
	run -1 "$bdus" --install "$dir/nowhere"
	[[ $output == *"$dir/nowhere: No such file"* ]]
}

### help ######################################################################

# The help of a command shows an option as the table has it.
check_help() {
	local text short="    "
	text=$("$bdus" ${1/\// } --help)
	[[ $3 == - ]] || short="-$3, "
	grep -qE -- "^  $short--$2( [A-Za-z0-9|]+)?  +[a-z]" <<<"$text" ||
		fail "$1 --help lacks --$2"
	grep -q -- "^More in the manual page bdus-${1%/*}(8)" <<<"$text"
}

@test "NAME --help, NAME -h and help NAME print the same, for all names" {
	local name
	for name in $("$bdus" --list); do
		run -0 --separate-stderr "$bdus" "$name" --help
		[[ -z $stderr ]]
		[[ ${lines[0]} == "Usage: bdus $name [OPTION...]"* ]]
		[[ $output == "$("$bdus" "$name" -h)" ]]
		[[ $output == "$("$bdus" help "$name")" ]]
		# what follows a device belongs to the driver
		[[ $name == rerun ]] ||
			[[ $output == "$("$bdus" "$name" x y z --help)" ]]
	done
}

@test "help shows all options" {
	each_option check_help
}

### options ###################################################################

bad_missing() {
	[[ $4 != bool ]] || return 0
	refused "--$2: the value is missing" "$1" "--$2"
	[[ $3 == - ]] || refused "--$2: the value is missing" "$1" "-$3"
}

bad_empty() {
	if [[ $4 == bool ]]; then
		refused "--$2: takes no value" "$1" "--$2="
		return
	fi
	refused "--$2: the value is empty" "$1" "--$2" ''
	refused "--$2: the value is empty" "$1" "--$2="
	[[ $3 == - ]] || refused "--$2: the value is empty" "$1" "-$3" ''
}

bad_negative() {
	[[ $4 != string && $4 != path ]] || return 0
	refused "--$2: " "$1" "--$2=-1"
	[[ $4 == bool ]] || refused "--$2: '-1' is not" "$1" "--$2" -1
}

bad_huge() {
	local long
	printf -v long '%05000d' 0
	case $4 in
	string | path) refused "--$2: value is longer" "$1" "--$2" "$long" ;;
	size) refused "--$2: '15E' is more than" "$1" "--$2" 15E ;;
	uint) refused "--$2: " "$1" "--$2" 18446744073709551615 ;;
	*) refused "--$2: " "$1" "--$2=18446744073709551615" ;;
	esac
}

bad_overflow() {
	[[ $4 == size || $4 == uint ]] || return 0
	refused "--$2: " "$1" "--$2" 18446744073709551616
	refused "--$2: " "$1" "--$2" 99999999999999999999999999999999
	refused "--$2: " "$1" "--$2" 0x10000000000000000
	[[ $4 == uint ]] || refused "--$2: '16E' is more" "$1" "--$2" 16E
	[[ $4 == uint ]] || refused "--$2: " "$1" "--$2" 36028797018963968s
}

bad_junk() {
	local junk
	[[ $4 != string && $4 != path && $4 != bool ]] || return 0
	for junk in junk 12x ' 1' '1 ' +1 1.5 1e3 0x $'1\n' $'\xff'; do
		refused "--$2: '$junk' is not" "$1" "--$2" "$junk"
	done
}

@test "every option without a value: 2" { each_option bad_missing; }
@test "every option with an empty value: 2" { each_option bad_empty; }
@test "every option with a negative value: 2" { each_option bad_negative; }
@test "every option with a huge value: 2" { each_option bad_huge; }
@test "every option with an overflowing value: 2" { each_option bad_overflow; }
@test "every option with junk: 2" { each_option bad_junk; }

@test "numbers and sizes that are refused show the accepted forms" {
	refused "hint: accepted: 512, 64K, 1G" ram --size 12x
	refused "hint: accepted: a whole number" ram --queues x
	refused "minimum, 512 bytes" ram --size 511
	refused "maximum, 256" ram --queues 257
}

@test "unknown options are refused, with the nearest name" {
	local name
	for name in $("$bdus" --list); do
		refused "unknown option '--xyzzy'" "$name" --xyzzy
		refused "unknown option '-~'" "$name" '-~'
	done
	refused "did you mean --size?" ram --siez 1G
	refused "did you mean --timeout?" destroy --tiemout 3
	refused "did you mean --read-only?" zero --readonly
}

@test "required options are required" {
	local command name required
	while read -r command name _ _ required; do
		[[ $required == required ]] || continue
		refused "--$name: is required" "$command"
	done < <("$bdus" --list-options)
}

@test "operands: too few and too many" {
	refused "no device given" destroy
	refused "--all: takes no devices" destroy --all 3
	refused "no device given" flush
	refused "no device given" stats
	refused "one device only" stats 1 2
	refused "no device given" why
	refused "one device only" why 1 2
	refused "needs a device, and a driver" rerun
	refused "needs a device, and a driver" rerun 1
	refused "" ram --size 1M x
	refused "" loop
	refused "" loop a b
}

### tools without the module ##################################################

no_devices() {
	compgen -G '/sys/block/bdus-*' >/dev/null && skip "there are devices"
	return 0
}

@test "list with no devices: empty, exit 0" {
	no_devices
	run -0 --separate-stderr "$bdus" list
	[[ $output == DEVICE*BACKING && -z $stderr ]]
	run -0 --separate-stderr "$bdus" list -n
	[[ -z $output && -z $stderr ]]
	run -0 --separate-stderr "$bdus" list --json
	[[ ${output//[$' \n']/} == '{"schema":1,"devices":[]}' ]]
}

@test "list -o: chosen columns, refused ones named" {
	no_devices
	run -0 "$bdus" list -o size,id,read_bytes
	[[ $output == "SIZE  ID  READ_BYTES" ]]
	refused "'siez' is not a column" list -o siez
	refused "did you mean size?" list -o siez
	refused "'' is not a column" list -o size,
	refused "'size' is there twice" list -o size,id,size
}

@test "what is no device of bdus: 4, by name" {
	local command operand
	no_devices
	for command in flush list stats why; do
		for operand in 3 bdus-3 /dev/bdus-3 /dev/null / "$dir/nowhere" \
			18446744073709551616 -3; do
			run -4 --separate-stderr "$bdus" "$command" -- "$operand"
			[[ $stderr == "bdus $command: $operand: "* ]] ||
				fail "$operand: $stderr"
		done
	done
}

@test "destroy without the module: 7; --all of nothing: 0" {
	no_devices
	[[ ! -e /dev/bdus-control ]] || skip "the module is loaded"
	run -7 --separate-stderr "$bdus" destroy 3
	[[ $stderr == *"kernel module kbdus is not loaded"* ]]
	run -0 "$bdus" destroy --all
	[[ -z $output ]]
}

### completion ################################################################

# Completes the words given, the last one being typed; there is one device.
complete_words() {
	"$BASH" -c '
		source <("$1" --completion bash)
		shift
		_bdus_devices() { _bdus_words /dev/bdus-7 "$1"; }
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_bdus
		printf "%s\n" "${COMPREPLY[@]}"' bash "$bdus" "$@"
}

check_completion() {
	complete_words bdus ${1/\// } "--$2" | grep -qx -- "--$2" ||
		fail "$1: --$2 is not completed"
	complete_words bdus-${1/\// } "--$2" | grep -qx -- "--$2"
}

@test "completion knows all names and options" {
	run -0 complete_words bdus ''
	local name
	for name in $("$bdus" --list) help --list --install; do
		grep -qx -- "$name" <<<"$output"
	done
	[[ $(complete_words bdus des) == destroy ]]
	each_option check_completion
}

@test "completion of values and operands" {
	touch "$dir/some file"
	[[ $(complete_words bdus loop "$dir/some") == "$dir/some file" ]]
	[[ $(complete_words bdus ram --log "$dir/so") == "$dir/some file" ]]
	[[ -z $(complete_words bdus ram --size '') ]]
	[[ $(complete_words bdus --completion '') == bash ]]
	[[ $(complete_words bdus help z) == zero ]]
	[[ $(complete_words bdus encrypt header-b) == header-backup ]]
	[[ $(complete_words bdus-encrypt form) == format ]]
	[[ $(complete_words bdus encrypt info "$dir/some") == "$dir/some file" ]]
}

@test "completion of devices" {
	local name
	for name in destroy flush list rerun stats why; do
		[[ $(complete_words bdus "$name" '') == /dev/bdus-7 ]]
		[[ $(complete_words "bdus-$name" /dev/b) == /dev/bdus-7 ]]
	done
}

@test "completion of rerun: a device, a driver, what that one takes" {
	touch "$dir/some file"
	local rerun
	for rerun in 'bdus rerun' 'bdus rerun --force' bdus-rerun; do
		[[ $(complete_words $rerun '') == /dev/bdus-7 ]]
		[[ $(complete_words $rerun 7 '') == "$(drivers)" ]]
		[[ $(complete_words $rerun 7 lo) == loop ]]
		[[ $(complete_words $rerun 7 loop --dir) == --direct ]]
		[[ $(complete_words $rerun 7 loop "$dir/so") == "$dir/some file" ]]
		[[ $(complete_words $rerun 7 loop --on-hang h) == hold ]]
		[[ -z $(complete_words $rerun 7 loop --size '') ]]
		[[ -z $(complete_words $rerun 7 loop --force) ]]
		[[ $(complete_words $rerun 7 encrypt --keep) == --keep-key ]]
		[[ -z $(complete_words $rerun 7 encrypt header-b) ]]
	done
	[[ $(complete_words bdus rerun --fo) == --force ]]
}

@test "the completion script is clean" {
	command -v shellcheck || skip "no shellcheck"
	"$bdus" --completion bash | shellcheck -s bash -
}

### man pages #################################################################

# The .It lines of the options in a page, from one section on.
page_options() {
	awk -v section="$2" '
		/^\.Sh / { inside = $0 == ".Sh " section }
		inside && /^\.It .*Fl / { print }' "$top/man/$1"
}

# The section of a command's own options: those of an action have their own.
options_section() {
	case $1 in
	*/*) tr '[:lower:]' '[:upper:]' <<<"OPTIONS OF ${1#*/}" ;;
	*) echo OPTIONS ;;
	esac
}

# The line that a table entry must have in its page.
page_pattern() {
	local letter=
	[[ $2 == - ]] || letter="Fl $2 , "
	if [[ $3 == bool ]]; then
		echo "^\\.It ${letter}Fl -$1\$"
	else
		echo "^\\.It ${letter}Fl -$1 Ar [A-Z]+\$"
	fi
}

@test "every name has a page, with all sections" {
	local name section
	for name in $("$bdus" --list); do
		for section in NAME SYNOPSIS DESCRIPTION OPTIONS EXAMPLES \
			FAILURE 'EXIT STATUS' 'SEE ALSO'; do
			grep -qx "\\.Sh $section" "$top/man/bdus-$name.8" ||
				fail "bdus-$name.8 lacks $section"
		done
		grep -qx "\\.It Xr bdus-$name 8" "$top/man/bdus.8"
		[[ $("$bdus" --list-full | sed -n "s/^$name  *//p") == \
			"$(sed -n 's/^\.Nd //p' "$top/man/bdus-$name.8")" ]]
	done
}

@test "every page belongs to a name" {
	local page
	for page in "$top"/man/bdus-*.8; do
		page=${page##*/bdus-}
		"$bdus" --list | grep -qx "${page%.8}"
	done
}

@test "every option of the tables is in its page" {
	local command name letter type page section
	while read -r command name letter type _; do
		page=bdus-${command%/*}.8
		section=$(options_section "$command")
		if [[ $command == common ]]; then
			page=bdus.8
			section='COMMON DRIVER OPTIONS'
		fi
		page_options "$page" "$section" |
			grep -qE -- "$(page_pattern "$name" "$letter" "$type")" ||
			fail "$page lacks --$name"
	done < <("$bdus" --list-options)
}

@test "every option of the pages is in its table" {
	local name command page option
	for name in $("$bdus" --list) \
		$("$bdus" --list-options | cut -d ' ' -f 1 | sort -u); do
		page=bdus-${name%/*}.8
		command=$(options_section "$name")
		if [[ $name == common ]]; then
			page=bdus.8
			command='COMMON DRIVER OPTIONS'
		fi
		for option in $(page_options "$page" "$command" |
			grep -oE 'Fl -[a-z-]+' | sed 's/^Fl -//'); do
			"$bdus" --list-options | grep -q "^$name $option " ||
				fail "$page: --$option is not in the table"
		done
	done
}

@test "every option of bdus itself is in its page" {
	local option
	for option in $("$bdus" --help | sed '/^$/q' |
		grep -oE -- '--[a-z-]+' | sort -u); do
		grep -qE "^\\.It Fl -${option#--}( |\$)" "$top/man/bdus.8" ||
			fail "bdus.8 lacks $option"
	done
}

@test "the columns of list are in its page" {
	local column
	for column in device id driver size ro state pid open backing \
		recoverable supervised timeout_ms recovery_timeout_ms on_hang \
		waiting_ms oldest_ms in_flight waiting attempts restarts \
		last_reason; do
		grep -qx "\\.It Cm $column" "$top/man/bdus-list.8"
	done
}

@test "the pages are clean" {
	command -v mandoc || skip "no mandoc"
	run mandoc -Tlint -W warning "$top"/man/*.[478]
	[[ -z $output ]] || fail "$output"
}

@test "make install: bdus.h, libbdus for both libc, and bdus.pc" {
	make -s -C "$top" install DESTDIR="$dir/root" PREFIX=/usr >/dev/null
	export PKG_CONFIG_LIBDIR=$dir/root/usr/lib/pkgconfig
	export PKG_CONFIG_SYSROOT_DIR=$dir/root
	[[ $(pkg-config --modversion bdus) == 0.1.2 ]]
	flags=$(pkg-config --cflags --libs bdus)
	cc "$top/examples/ram.c" $flags -o "$dir/ram"
	musl-gcc -static "$top/examples/ram.c" -I"$dir/root/usr/include" \
		-L"$dir/root/usr/lib/musl" -lbdus -o "$dir/ram-musl"
	[[ -f $dir/root/usr/share/man/man7/bdus-driver.7 ]]
	# no path of this machine is in what is installed
	run ! grep -rlF "$top" "$dir/root/usr/lib" "$dir/root/usr/include"
}
