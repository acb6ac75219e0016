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
	fill_pattern a $((2 * MiB))
	fill_pattern b $((1 * MiB))
	fill_pattern c $((MiB / 2))
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

# goes_to_and_fro OPTION... FILE: what one writes the other reads
goes_to_and_fro() {
	local size
	ours "$@"
	size=$(blockdev --getsize64 "$dev")
	put a
	put c $((size / MiB - 1))
	closed
	theirs "$@"
	[[ $(blockdev --getsize64 "$dev") == "$size" ]]
	holds a
	holds c $((size / MiB - 1))
	put b 1
	put b $((size / MiB - 1))
	closed
	ours "$@"
	head -c "$MiB" a >a.half
	holds a.half
	holds b 1
	holds b $((size / MiB - 1))
	closed
}

# all_ways WHO: LUKS2, made by WHO, with each derivation, sector size, and place
# of the header
all_ways() {
	local kdf sector header
	for kdf in pbkdf2 argon2id; do
		for sector in 512 4096; do
			for header in '' '--header header'; do
				echo "# $kdf $sector $header"
				rm -f file header
				truncate -s 20M file
				# shellcheck disable=SC2086 # two words
				one_way "$1" $kdf --sector-size $sector $header
			done
		done
	done
}

# one_way WHO KDF OPTION...: OPTION of format; --header is for all
one_way() {
	local header=()
	[[ $* != *--header* ]] || header=(--header header)
	made "$@" file
	goes_to_and_fro --key-file key "${header[@]}" file
}

@test "LUKS2 made here: dm-crypt reads what we write, and the reverse" {
	all_ways bdus
}

@test "LUKS2 made by cryptsetup: dm-crypt reads what we write, and the reverse" {
	all_ways cryptsetup
}

@test "LUKS1 made here, and by cryptsetup: likewise" {
	for who in bdus cryptsetup; do
		for header in '' '--header header'; do
			echo "# $who $header"
			rm -f file header
			truncate -s 6M file
			# shellcheck disable=SC2086 # two words
			one_way $who pbkdf2 --type luks1 $header
		done
	done
}

@test "other key sizes, hashes, derivations and sector sizes" {
	while read -r kdf ours_key theirs_key options; do
		for who in bdus cryptsetup; do
			echo "# $who $kdf $ours_key $options"
			rm -f file
			truncate -s 20M file
			key_size=$ours_key
			[[ $who == bdus ]] || key_size=$theirs_key
			# shellcheck disable=SC2086 # words
			one_way $who $kdf --key-size $key_size $options
		done
	done <<-'END'
		pbkdf2 256bit 256 --type luks1 --hash sha512
		pbkdf2 256bit 256 --hash sha512 --sector-size 2048
		argon2i 512bit 512 --sector-size 1024
	END
}

@test "a block device, and a device of ours" {
	below $((20 * MiB))
	made bdus argon2id /dev/ram0
	goes_to_and_fro --key-file key /dev/ram0
	start bdus ram --size 20M
	lower=$dev
	made cryptsetup pbkdf2 "$lower"
	goes_to_and_fro --key-file key "$lower"
}

@test "beyond 2 TiB, where the number of the sector has more than 32 bits" {
	for sector in 512 4096; do
		rm -f file
		truncate -s 3T file
		made bdus pbkdf2 --sector-size $sector file
		goes_to_and_fro --key-file key file
	done
}

@test "sha1 and aes-cbc-essiv:sha256 of old volumes can be read and written" {
	while read -r options; do
		echo "# $options"
		rm -f file
		truncate -s 20M file
		# shellcheck disable=SC2086 # words
		one_way cryptsetup pbkdf2 $options
	done <<-'END'
		--type luks1 --cipher aes-cbc-essiv:sha256 --key-size 256
		--type luks1 --hash sha1
		--type luks2 --cipher aes-cbc-essiv:sha256 --key-size 256 --sector-size 512
	END
}

# plain 'OURS' 'THEIRS': a plain volume as the options say, which are the same
# but for units; with a passphrase unless there is a key file
plain() {
	local here there pass=/dev/null size
	read -ra here <<<"$1"
	read -ra there <<<"$2"
	[[ $1 == *--key-file* ]] || pass=key
	echo "# $1"
	rm -f file
	truncate -s 4M file
	ours --type plain "${here[@]}" file <"$pass"
	put a
	size=$(blockdev --getsize64 "$dev")
	closed
	theirs --type plain "${there[@]}" file <"$pass"
	[[ $(blockdev --getsize64 "$dev") == "$size" ]]
	holds a
	put b 1
	closed
	ours --type plain "${here[@]}" file <"$pass"
	holds b 1
	closed
}

@test "plain volumes: a passphrase with each hash, a key file" {
	xts='--cipher aes-xts-plain64'
	head -c 64 /dev/urandom >raw
	plain "$xts --key-size 256bit --hash sha256" \
		"$xts --key-size 256 --hash sha256"
	plain "$xts --key-size 512bit --hash sha256" \
		"$xts --key-size 512 --hash sha256"
	plain "$xts --key-size 64B --hash sha512" \
		"$xts --key-size 512 --hash sha512"
	plain "$xts --key-size 512bit --hash ripemd160" \
		"$xts --key-size 512 --hash ripemd160"
	plain "$xts --key-size 512bit --key-file raw" \
		"$xts --key-size 512 --key-file raw"
	plain "$xts --key-size 256bit --key-file raw" \
		"$xts --key-size 256 --key-file raw"
}

@test "plain volumes: offset, skip, sector size, old ciphers" {
	xts='--cipher aes-xts-plain64'
	head -c 64 /dev/urandom >raw
	plain "$xts --key-size 512bit --key-file raw --offset 100s --skip 8000s" \
		"$xts --key-size 512 --key-file raw --offset 100 --skip 8000"
	plain "$xts --key-size 512bit --key-file raw --sector-size 4096" \
		"$xts --key-size 512 --key-file raw --sector-size 4096"
	plain "$xts --key-size 512bit --key-file raw --sector-size 4K --offset 1M --skip 64K" \
		"$xts --key-size 512 --key-file raw --sector-size 4096 --offset 2048 --skip 128"
	essiv='--cipher aes-cbc-essiv:sha256'
	plain "$essiv --key-size 256bit --hash ripemd160" \
		"$essiv --key-size 256 --hash ripemd160"
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
	cmp --bytes=$((2 * MiB)) a out
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

key_opens() { # KEY [SLOT]: says bdus, and so does cryptsetup
	echo "# $1 opens $2"
	bdus encrypt test-key --key-file "$1" ${2:+--key-slot "$2"} "$volume"
	cryptsetup open --test-passphrase --key-file "$1" \
		${2:+--key-slot "$2"} "$volume"
}

key_is_wrong() { # KEY
	echo "# $1 does not open"
	run -3 bdus encrypt test-key --key-file "$1" "$volume"
	run -2 cryptsetup open --test-passphrase --key-file "$1" "$volume"
}

# What cryptsetup does hangs where somebody holds its lock for long.
cs() { timeout 20 cryptsetup --batch-mode "$@"; }

# alternating TYPE: one changes the header of $volume, then the other, while
# the data is in use
alternating() {
	local cheap
	read -ra cheap < <(costs pbkdf2 '')
	made bdus pbkdf2 --type "$1" --force "$volume"
	ours --key-file key "$volume"
	put a
	cs luksDump "$volume" >dump.out
	bdus encrypt info "$volume" >info.out
	cs luksAddKey "${cheap[@]}" --key-file key "$volume" key2
	key_opens key2 1
	bdus encrypt add-key "${cheap[@]}" --key-file key2 --new-key-file key3 \
		"$volume"
	key_opens key3 2
	cs luksChangeKey "${cheap[@]}" --key-file key3 "$volume" key4
	key_opens key4
	key_is_wrong key3
	bdus encrypt change-key "${cheap[@]}" --key-file key4 \
		--new-key-file key5 "$volume"
	key_opens key5
	key_is_wrong key4
	cs luksKillSlot --key-file key "$volume" 1
	key_is_wrong key2
	bdus encrypt add-key "${cheap[@]}" --key-file key --key-slot 6 \
		--new-key-file key2 "$volume"
	key_opens key2 6
	bdus encrypt remove-key --key-file key5 "$volume"
	key_is_wrong key5
	cs luksAddKey "${cheap[@]}" --key-file key2 "$volume" key3
	key_opens key3
	closed
	ours --key-file key3 "$volume"
	holds a
}

# saved_and_restored: backups are alike, and each restores the other's
saved_and_restored() {
	rm -f ours.bak theirs.bak
	bdus encrypt header-backup "$volume" ours.bak
	cs luksHeaderBackup --header-backup-file theirs.bak "$volume"
	cmp ours.bak theirs.bak
	# not under a driver that may be replaced by one that reads it
	run -5 bdus encrypt header-restore --force "$volume" theirs.bak
	closed
	cs luksRemoveKey "$volume" key2
	key_is_wrong key2
	bdus encrypt header-restore --force "$volume" theirs.bak
	key_opens key2
	bdus encrypt remove-key --key-file key3 "$volume"
	key_is_wrong key3
	cs luksHeaderRestore --header-backup-file ours.bak "$volume"
	key_opens key3
	ours --key-file key2 "$volume"
	holds a
	put b 1
	closed
	theirs --key-file key3 "$volume"
	holds b 1
	closed
}

@test "LUKS2: the header is changed in turns, under an open volume" {
	volume='file'
	truncate -s 20M file
	alternating luks2
	cs config --label "of cryptsetup" --priority prefer --key-slot 6 file
	bdus encrypt info --json file | grep -q 'of cryptsetup'
	cs token add --key-description something --key-slot 6 file
	bdus encrypt remove-key --key-file key2 --key-slot 0 file
	key_is_wrong key
	cs luksDump file | grep -A 1 'luks2-keyring' | grep -q something
	cs luksDump file | grep -q 'Label: *of cryptsetup'
	saved_and_restored
	bdus encrypt check file
}

@test "LUKS1: the header is changed in turns, under an open volume" {
	volume='file'
	truncate -s 6M file
	alternating luks1
	saved_and_restored
	bdus encrypt check file
}

@test "a device: the header is changed in turns, under an open volume" {
	below $((20 * MiB))
	volume=/dev/ram0
	alternating luks2
	saved_and_restored
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

# cryptsetup's own, held while it derives a key for a second or more
@test "changes by both at the same time are all made" {
	for volume in file /dev/ram0; do
		[[ $volume == file ]] || below $((20 * MiB))
		[[ $volume == file ]] && truncate -s 20M file
		made bdus pbkdf2 "$volume"
		jobs=()
		for n in 2 3 4 5; do
			case $n in
			[24]) cryptsetup luksAddKey --batch-mode --key-file key \
				--pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
				"$volume" key$n 3>&- 4>&- & ;;
			*) bdus encrypt add-key --pbkdf pbkdf2 --key-file key \
				--pbkdf-force-iterations 1000 --new-key-file key$n \
				"$volume" 3>&- 4>&- & ;;
			esac
			jobs+=($!)
		done
		wait "${jobs[0]}" && wait "${jobs[2]}" # cryptsetup's
		for job in 1 3; do
			wait "${jobs[job]}" || {
				status=$?
				((status == 5))
				bdus encrypt add-key --pbkdf pbkdf2 \
					--pbkdf-force-iterations 1000 \
					--key-file key \
					--new-key-file key$((job + 2)) "$volume"
			}
		done
		for n in '' 2 3 4 5; do
			key_opens "key$n"
		done
		bdus encrypt check "$volume"
	done
}
