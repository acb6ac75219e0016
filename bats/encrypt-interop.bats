#!/usr/bin/env bats
# encrypt: volumes of cryptsetup, dm-crypt, QEMU and nbdkit are ours, and ours
# are theirs.

load lib
load encrypt

setup() {
	common_setup
	openssl rand -hex 16 | tr -d '\n' >key
	for n in 2 3 4 5; do
		openssl rand -hex 12 | tr -d '\n' >"key$n"
	done
	fill_pattern a $((MiB / 2))
	fill_pattern b $((MiB))
	modprobe -a loop dm-crypt
}

# ours, theirs OPTION... FILE: it is $dev, opened by bdus or by dm-crypt
ours() { start bdus encrypt "$@"; }
theirs() {
	cryptsetup open "$@" upper
	dev=/dev/mapper/upper
}
closed() {
	if [[ $dev == /dev/mapper/upper ]]; then
		cryptsetup close upper
	else
		bdus destroy "$dev"
	fi
}

# exchanged FROM TO OPTION... FILE: what one has written, the other one reads, at
# the start and at the end
exchanged() {
	local last
	"$1" "${@:3}"
	last=$(($(blockdev --getsize64 "$dev") / MiB - 1))
	put a
	put b "$last"
	closed
	"$2" "${@:3}"
	[[ $(blockdev --getsize64 "$dev") == $(((last + 1) * MiB)) ]]
	holds a
	holds b "$last"
	closed
}

# combined MAKER FROM TO KDF OPTION...: a volume of MAKER, OPTION of format;
# --header is for all
combined() {
	local header=()
	echo "# $*"
	[[ $* != *--header* ]] || header=(--header header)
	rm -f file header
	truncate -s 20M file
	made "$1" "${@:4}" file
	exchanged "$2" "$3" --key-file key "${header[@]}" file
}

# all_ways MAKER FROM TO: LUKS2 with each derivation, sector size, and place of
# the header, and LUKS1
all_ways() {
	local kdf sector header
	for header in '' '--header header'; do
		for sector in 512 4096; do
			for kdf in pbkdf2 argon2id; do
				# shellcheck disable=SC2086 # two words
				combined "$@" $kdf --sector-size $sector $header
			done
		done
		# shellcheck disable=SC2086 # two words
		combined "$@" pbkdf2 --type luks1 $header
	done
}

@test "LUKS1 and LUKS2 made here: dm-crypt reads what we write" {
	all_ways bdus ours theirs
}

@test "LUKS1 and LUKS2 made by cryptsetup: we read what dm-crypt writes" {
	all_ways cryptsetup theirs ours
}

@test "made by one, written by the other, read by the first" {
	combined bdus theirs ours pbkdf2
	combined cryptsetup ours theirs pbkdf2 --type luks1
}

@test "other key sizes, hashes, derivations and sector sizes" {
	combined bdus ours theirs pbkdf2 --key-size 256bit --type luks1 \
		--hash sha512
	combined cryptsetup theirs ours argon2i --sector-size 1024
	combined bdus theirs ours argon2i --sector-size 2048 --key-size 256bit
	combined cryptsetup ours theirs pbkdf2 --key-size 256 --hash sha512
}

@test "a block device, and a device of ours" {
	below $((20 * MiB))
	made bdus argon2id /dev/ram0
	exchanged ours theirs --key-file key /dev/ram0
	start bdus ram --size 20M
	lower=$dev
	made cryptsetup pbkdf2 "$lower"
	exchanged theirs ours --key-file key "$lower"
}

@test "beyond 2 TiB, where the number of the sector has more than 32 bits" {
	for sector in 512 4096; do
		rm -f file
		truncate -s 3T file
		made bdus pbkdf2 --sector-size $sector file
		exchanged ours theirs --key-file key file
	done
}

@test "sha1 and aes-cbc-essiv:sha256 of old volumes can be read and written" {
	essiv=(--cipher aes-cbc-essiv:sha256 --key-size 256)
	combined cryptsetup theirs ours pbkdf2 --type luks1 "${essiv[@]}"
	combined cryptsetup ours theirs pbkdf2 --type luks1 --hash sha1
	combined cryptsetup theirs ours pbkdf2 --sector-size 512 "${essiv[@]}"
}

# plain FROM TO 'HERE' 'THERE': a plain volume as the options say, which are the
# same but for units; with a passphrase unless there is a key file
plain() {
	local -A options=([ours]=$3 [theirs]=$4)
	local pass=/dev/null size
	[[ $3 == *--key-file* ]] || pass=key
	echo "# $*"
	rm -f file
	truncate -s 4M file
	# shellcheck disable=SC2086 # words
	"$1" --type plain ${options[$1]} file <"$pass"
	size=$(blockdev --getsize64 "$dev")
	put a
	closed
	# shellcheck disable=SC2086 # words
	"$2" --type plain ${options[$2]} file <"$pass"
	[[ $(blockdev --getsize64 "$dev") == "$size" ]]
	holds a
	closed
}

@test "plain volumes: a passphrase with each hash, a key file" {
	xts='--cipher aes-xts-plain64'
	head -c 64 /dev/urandom >raw
	plain ours theirs "$xts --key-size 256bit --hash sha256" \
		"$xts --key-size 256 --hash sha256"
	plain theirs ours "$xts --key-size 512bit --hash sha256" \
		"$xts --key-size 512 --hash sha256"
	plain ours theirs "$xts --key-size 64B --hash sha512" \
		"$xts --key-size 512 --hash sha512"
	plain theirs ours "$xts --key-size 512bit --hash ripemd160" \
		"$xts --key-size 512 --hash ripemd160"
	plain ours theirs "$xts --key-size 512bit --key-file raw" \
		"$xts --key-size 512 --key-file raw"
	plain theirs ours "$xts --key-size 256bit --key-file raw" \
		"$xts --key-size 256 --key-file raw"
}

@test "plain volumes: offset, skip, sector size, old ciphers" {
	xts='--cipher aes-xts-plain64 --key-file raw'
	head -c 64 /dev/urandom >raw
	plain ours theirs \
		"$xts --key-size 512bit --offset 100s --skip 8000s" \
		"$xts --key-size 512 --offset 100 --skip 8000"
	plain theirs ours "$xts --key-size 512bit --sector-size 4096" \
		"$xts --key-size 512 --sector-size 4096"
	plain ours theirs \
		"$xts --key-size 256bit --sector-size 4K --offset 1M --skip 64K" \
		"$xts --key-size 256 --sector-size 4096 --offset 2048 --skip 128"
	cbc='--cipher aes-cbc-essiv:sha256'
	plain theirs ours "$cbc --key-size 256bit --hash ripemd160" \
		"$cbc --key-size 256 --hash ripemd160"
}

### others ####################################################################

@test "LUKS1 written here is read by qemu-img and nbdkit" {
	secret=(--object 'secret,id=s,file=key')
	rm -f file
	truncate -s 6M file
	made bdus pbkdf2 --type luks1 file
	ours --key-file key file
	put a
	closed
	qemu-img convert "${secret[@]}" --image-opts -O raw \
		driver=luks,key-secret=s,file.filename=file out
	cmp --bytes=$((MiB / 2)) a out
	# shellcheck disable=SC2016 # nbdkit sets $nbd
	nbdkit -U "$dir/socket" --filter=luks file file passphrase=+key \
		--run 'qemu-img convert -O raw "$nbd" out2'
	cmp out out2
}

@test "LUKS1 made by qemu-img is read and written here" {
	secret=(--object 'secret,id=s,file=key')
	image=driver=luks,key-secret=s,file.filename=file
	fill_pattern a $((4 * MiB))
	qemu-img create -q -f luks "${secret[@]}" \
		-o key-secret=s,iter-time=10 file 4M
	qemu-img convert -n "${secret[@]}" -f raw --target-image-opts a "$image"
	ours --key-file key file
	[[ $(blockdev --getsize64 "$dev") == $((4 * MiB)) ]]
	holds a
	put b 2
	closed
	qemu-img convert "${secret[@]}" --image-opts -O raw "$image" out
	dd if=b of=a bs=1M seek=2 conv=notrunc status=none
	cmp a out
}

### headers ###################################################################

# by_bdus, by_cryptsetup KEY [SLOT]: it opens
by_bdus() {
	bdus encrypt test-key --key-file "$1" ${2:+--key-slot "$2"} "$volume"
}
by_cryptsetup() {
	cryptsetup open --test-passphrase --key-file "$1" \
		${2:+--key-slot "$2"} "$volume"
}

not_by_bdus() { run -3 bdus encrypt test-key --key-file "$1" "$volume"; }
not_by_cryptsetup() {
	run -2 cryptsetup open --test-passphrase --key-file "$1" "$volume"
}

# What cryptsetup does hangs where somebody holds its lock for long.
cs() { timeout 20 cryptsetup --batch-mode "$@"; }

# alternating TYPE: one changes the header of $volume, then the other, while
# the data is in use
alternating() {
	local cheap
	read -ra cheap < <(costs pbkdf2 '')
	made bdus pbkdf2 --type "$1" "$volume"
	ours --key-file key "$volume"
	put a
	cs luksAddKey "${cheap[@]}" --key-file key "$volume" key2
	by_bdus key2 1
	bdus encrypt add-key "${cheap[@]}" --key-file key2 --new-key-file key3 \
		"$volume"
	by_cryptsetup key3 2
	cs luksChangeKey "${cheap[@]}" --key-file key3 "$volume" key4
	by_bdus key4
	not_by_bdus key3
	bdus encrypt change-key "${cheap[@]}" --key-file key4 \
		--new-key-file key5 "$volume"
	by_cryptsetup key5
	not_by_cryptsetup key4
	cs luksKillSlot --key-file key "$volume" 1
	not_by_bdus key2
	bdus encrypt add-key "${cheap[@]}" --key-file key --key-slot 6 \
		--new-key-file key2 "$volume"
	by_cryptsetup key2 6
	bdus encrypt remove-key --key-file key5 "$volume"
	not_by_cryptsetup key5
	cs luksAddKey "${cheap[@]}" --key-file key2 "$volume" key3
	by_bdus key3
	closed
	ours --key-file key3 "$volume"
	holds a
}

# saved_and_restored: backups are alike, and each restores the other's
saved_and_restored() {
	bdus encrypt header-backup "$volume" ours.bak
	cs luksHeaderBackup --header-backup-file theirs.bak "$volume"
	cmp ours.bak theirs.bak
	# not under a driver
	run -5 bdus encrypt header-restore --force "$volume" theirs.bak
	closed
	cs luksRemoveKey "$volume" key2
	not_by_bdus key2
	bdus encrypt header-restore --force "$volume" theirs.bak
	by_cryptsetup key2
	bdus encrypt remove-key --key-file key3 "$volume"
	not_by_cryptsetup key3
	cs luksHeaderRestore --header-backup-file ours.bak "$volume"
	by_bdus key3
	exchanged theirs ours --key-file key2 "$volume"
}

@test "LUKS2: the header is changed in turns, under an open volume" {
	volume='file'
	truncate -s 20M file
	alternating luks2
	cs config --label "of cryptsetup" --priority prefer --key-slot 6 file
	bdus encrypt info --json file | grep -q 'of cryptsetup'
	cs token add --key-description something --key-slot 6 file
	bdus encrypt remove-key --key-file key2 --key-slot 0 file
	not_by_cryptsetup key
	cs luksDump file >dump
	grep -A 1 'luks2-keyring' dump | grep -q something
	grep -q $'^Label:\\s*of cryptsetup' dump
	saved_and_restored
	bdus encrypt check file
}

@test "LUKS1 on a device: the header is changed in turns, under a volume" {
	below $((20 * MiB))
	volume=/dev/ram0
	alternating luks1
	saved_and_restored
	bdus encrypt check /dev/ram0
	[[ ! -d /run/cryptsetup || -z $(ls /run/cryptsetup) ]]
}

### locks #####################################################################

@test "a volume that is open holds no lock that cryptsetup waits for" {
	below $((20 * MiB))
	truncate -s 20M file
	for volume in file /dev/ram0; do
		made bdus pbkdf2 "$volume"
		ours --key-file key "$volume"
		for command in luksDump isLuks luksUUID \
			'open --test-passphrase --key-file key'; do
			# shellcheck disable=SC2086 # words
			timeout 20 cryptsetup $command "$volume" >out
		done
		flock --nonblock "$volume" true
		closed
	done
}

# waits_for COMMAND...: it ends once "$lock" is given up, and not before
waits_for() {
	exec {fd}<>"$lock"
	flock "$fd"
	"$@" >out 2>&1 3>&- 4>&- {fd}>&- &
	local waiter=$!
	sleep 2
	kill -0 "$waiter"
	exec {fd}>&-
	wait "$waiter"
}

@test "what changes a header waits for cryptsetup's lock, and so does opening" {
	read -ra cheap < <(costs pbkdf2 '')
	below $((20 * MiB))
	truncate -s 20M file
	mkdir -p /run/cryptsetup
	for volume in file /dev/ram0; do
		made bdus pbkdf2 "$volume"
		lock=$volume
		[[ $volume == file ]] || lock=/run/cryptsetup/L_1:0
		waits_for bdus encrypt add-key "${cheap[@]}" --key-file key \
			--new-key-file key2 "$volume"
		waits_for bdus encrypt test-key --key-file key2 "$volume"
		waits_for bdus encrypt --key-file key2 "$volume"
		bdus destroy --all
	done
}

# until_added COMMAND...: adds a key; whoever finds that the header has been
# changed since it was read gives up
until_added() {
	until "$@" --pbkdf pbkdf2 --pbkdf-force-iterations 1000; do
		echo "# again: $*"
	done
}

@test "changes by both at the same time are all made" {
	volume='file'
	truncate -s 20M file
	made bdus pbkdf2 file
	for n in 2 4; do
		until_added cryptsetup luksAddKey --batch-mode --key-file key \
			file key$n 3>&- 4>&- &
		until_added bdus encrypt add-key --key-file key \
			--new-key-file key$((n + 1)) file 3>&- 4>&- &
	done
	wait
	for n in '' 2 3 4 5; do
		by_bdus "key$n"
	done
	bdus encrypt check file
}
