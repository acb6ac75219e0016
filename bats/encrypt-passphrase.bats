#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Where the passphrases of encrypt come from: files, descriptors, pipes, and
# terminals with their signals. Needs neither the kernel module nor privilege.

load encrypt-cli
load terminal

### files, descriptors, pipes ##################################################

@test "passphrase: files are taken as they are, lines without their end" {
	printf 'with\nlines\n' >key
	luks2 disk ignored --key-file key
	[[ $(encrypt test-key -d key disk) == 0 ]]
	[[ $(encrypt test-key --key-file - disk <key) == 0 ]]
	[[ $(encrypt test-key --key-fd 5 disk 5<key) == 0 ]]
	cryptsetup open --test-passphrase -d key disk
	cryptsetup open --test-passphrase -d - disk <key
	refused 3 "" test-key disk <key
	encrypt add-key "${argon2[@]}" --key-file key disk <<<line
	opens disk line 1
	[[ $(printf line | encrypt test-key disk) == 1 ]]
	refused 3 "" test-key --key-file - disk <<<line
}

@test "passphrase: parts of files" {
	head -c 100000 /dev/urandom >key
	luks2 disk - --key-file key --keyfile-offset 1000 --keyfile-size 50000
	cryptsetup open --test-passphrase -d key --keyfile-offset 1000 \
		--keyfile-size 50000 disk
	encrypt test-key -d key --keyfile-offset 1000 -l 50000 disk
	tail -c +1001 key | encrypt test-key -d - -l 50000 disk
	encrypt test-key -d - --keyfile-offset 1000 -l 50000 disk < <(cat key)
	refused 3 "" test-key -d key -l 50000 disk
	refused 1 "key: has only 40000 of the 50000 bytes" test-key -d key \
		--keyfile-offset 60000 -l 50000 disk
	refused 1 "key: the passphrase is empty" test-key -d key \
		--keyfile-offset 100000 disk
}

@test "passphrase: binary ones, up to 8 MiB" {
	printf 'a\0b\n\xff' >key
	luks2 disk - --key-file key
	encrypt test-key -d key disk
	cryptsetup open --test-passphrase -d key disk
	head -c 8M /dev/zero >large
	encrypt add-key "${argon2[@]}" -d key --new-key-file large disk
	[[ $(encrypt test-key -d large disk) == 1 ]]
	cryptsetup open --test-passphrase -d large disk
	printf x >>large
	refused 1 "large: is larger than 8M" test-key -d large disk
	refused 1 "--keyfile-size tells" test-key -d large disk
	refused 1 "larger than 8M" test-key -d /dev/zero disk
	[[ $(encrypt test-key -d large -l 8M disk) == 1 ]]
	refused 2 "more than the maximum, 8M" test-key -d large -l 9M disk
}

@test "passphrase: refusals" {
	luks2 disk secret
	: >empty
	mkdir dir
	refused 1 "empty: the passphrase is empty" test-key -d empty disk
	refused 1 "standard input: the passphrase is empty" test-key disk \
		</dev/null
	refused 1 "standard input: the passphrase is empty" test-key disk <<<''
	refused 1 "descriptor 9: cannot read the passphrase: Bad file" \
		test-key --key-fd 9 disk
	refused 1 "nowhere: cannot open: No such file" test-key -d nowhere disk
	refused 1 "dir: cannot read the passphrase: Is a directory" test-key \
		-d dir disk
	refused 2 "--key-file and --key-fd exclude each other" test-key \
		-d key --key-fd 3 disk
	refused 2 "--keyfile-size: needs --key-file" test-key -l 5 disk
	refused 2 "--keyfile-offset: needs --key-file" test-key \
		--keyfile-offset 5 disk
	refused 2 "less than the minimum, 3" test-key --key-fd 0 disk
	refused 2 "--new-key-file and --new-key-fd exclude" add-key \
		--new-key-file a --new-key-fd 5 disk
}

@test "passphrase: old and new from one place" {
	luks2 disk first
	printf 'first\nsecond' | encrypt add-key "${argon2[@]}" disk
	opens disk second 1
	# the rest of stdin, as it is
	printf 'first\nthird\n' |
		encrypt add-key "${argon2[@]}" --new-key-file - disk
	[[ $(printf 'third\n' | encrypt test-key -d - disk) == 2 ]]
	# the first bytes of stdin, then all the others
	printf firstfourth | encrypt add-key "${argon2[@]}" -d - -l 5 \
		--new-key-file - disk
	opens disk fourth 3
	printf firstfifth >keys
	encrypt add-key "${argon2[@]}" --key-fd 5 -l 5 --new-key-fd 5 \
		disk 5< <(cat keys)
	opens disk fifth 4
	refused 2 "nothing tells where the old one ends" add-key -d - \
		--new-key-file - disk <<<x
	refused 2 "--keyfile-size" add-key -d - disk <<<x
	refused 2 "nothing tells" change-key --key-fd 5 --new-key-fd 5 disk
}

### terminals #################################################################

@test "terminal: a new passphrase is asked for twice, and not shown" {
	truncate -s 20M disk
	ask "$bdus encrypt format ${argon2[*]} disk" \
		"Type YES" 'YES\n' "New passphrase of disk: " 'secret\n' \
		"The same again: " 'secret\n'
	run ! grep -q secret screen
	opens disk secret
	sum disk
	run -1 ask "$bdus encrypt add-key ${argon2[*]} disk" \
		"Passphrase of disk: " 'secret\n' \
		"New passphrase of disk: " 'new\n' "The same again: " 'nwe\n'
	shows "the two passphrases differ"
	run -1 ask "$bdus encrypt add-key ${argon2[*]} disk" \
		"Passphrase of disk: " 'secret\n' "New passphrase of disk: " '\n'
	shows "the passphrase is empty"
	unchanged disk
	ask "$bdus encrypt add-key ${argon2[*]} disk" \
		"Passphrase of disk: " 'secret\n' \
		"New passphrase of disk: " 'new\n' "The same again: " 'new\n'
	opens disk new 1
}

@test "terminal: three tries; a file has one" {
	luks2 disk secret
	local prompt="Passphrase of disk: "
	ask "$bdus encrypt test-key disk" "$prompt" 'wrong\n' \
		"$prompt" 'wrong\n' "$prompt" 'secret\n'
	run -3 ask "$bdus encrypt test-key disk" "$prompt" '1\n' \
		"$prompt" '2\n' "$prompt" '3\n'
	printf wrong >key
	run -3 ask "$bdus encrypt test-key -d key disk"
	ask "$bdus encrypt test-key --key-file - disk" \
		"Passphrase of disk: " 'secret\n'
}

@test "terminal: only YES is yes" {
	local action
	luks2 disk secret
	encrypt header-backup disk backup
	sum disk
	for action in "erase disk" "header-restore disk backup"; do
		run -1 ask "$bdus encrypt $action" "Type YES" 'yes\n'
		shows "nothing was changed"
		run -1 ask "$bdus encrypt $action" "Type YES" '\n'
		run -1 ask "$bdus encrypt $action" "Type YES" '\x04'
		run -1 ask "$bdus encrypt $action" "Type YES" 'YES, well\n'
	done
	unchanged disk
	ask "$bdus encrypt erase disk" "Type YES" 'YES\n'
	[[ $(field disk '.slots | length') == 0 ]]
	ask "$bdus encrypt header-restore disk backup" "Type YES" 'YES\n'
	opens disk secret
}

@test "terminal: a long passphrase is refused, 512 bytes are not" {
	local long
	printf -v long '%0512d' 0
	luks2 disk "$long"
	ask "$bdus encrypt test-key disk" "Passphrase of disk: " "$long\n"
	run -1 ask "$bdus encrypt test-key disk" "Passphrase of disk: " \
		"1$long\n"
	shows "longer than 512 bytes"
}

@test "terminal: echo is back after each signal, and end of file" {
	local signal
	luks2 disk secret
	local key after="stty -a >after"
	for key in '\x03' '\x1c'; do
		rm -f after
		ask "trap : INT QUIT; $bdus encrypt test-key disk; $after" \
			"Passphrase of disk: " "secr$key"
		grep -q ' echo ' after
	done
	for signal in TERM HUP; do
		rm -f after pid screen
		ask "$bdus encrypt test-key disk </dev/tty & echo \$! >pid
			wait \$!; $after" &
		wait_until 5 shows "Passphrase of disk: "
		kill "-$signal" "$(cat pid)"
		wait_until 5 test -s after
		grep -q ' echo ' after
		wait
	done
	run -1 ask "$bdus encrypt test-key disk" "Passphrase of disk: " '\x04'
	shows "the passphrase is empty"
}

@test "terminal: echo is back while it is stopped, then it asks again" {
	luks2 disk secret
	cat >job <<-EOF
		set -m
		$bdus encrypt test-key disk
		stty -a >stopped
		echo "it is stopped"
		fg
		stty -a >after
	EOF
	ask "bash job" "Passphrase of disk: " 'secr\x1a' \
		"it is stopped" '' "Passphrase of disk: " 'secret\n'
	grep -q ' echo ' stopped
	grep -q ' echo ' after
	(($(grep -c "Passphrase of disk" screen) == 2))
	grep -qx $'0\r' screen
}

@test "terminal: progress and time left of what lasts" {
	truncate -s 20M disk
	ask "$bdus encrypt format --force --pbkdf-memory 1M --iter-time 1300 \
		disk" \
		"New passphrase of disk: " 'secret\n' "The same" 'secret\n'
	grep -Eq 'making the header: [0-9]+%, [0-9a-z ]+ left' screen
	# and nothing of it without a terminal
	run -0 --separate-stderr ours disk secret --force "${pbkdf2[@]}"
	[[ -z $stderr ]]
}
