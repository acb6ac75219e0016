/* SPDX-License-Identifier: MIT */
/*
 * luks2edits.h - edits of the JSON of a valid LUKS2 header, as RFC 7396 has
 * them, and how each is refused.
 */
#ifndef BDUS_LUKS2EDITS_H
#define BDUS_LUKS2EDITS_H

struct edit {
	const char *patch;
	const char *message;
};

#define CONFIG(x) "{\"config\":" x "}"
#define SEGMENT(x) "{\"segments\":{\"0\":" x "}}"
#define DIGEST(x) "{\"digests\":{\"0\":" x "}}"
#define SLOT(x) "{\"keyslots\":{\"0\":" x "}}"
#define KDF(x) SLOT("{\"kdf\":" x "}")
#define AREA(x) SLOT("{\"area\":" x "}")
#define OTHER(x) "{\"keyslots\":{\"3\":{\"type\":\"x\",\"area\":" x "}}}"

static const struct edit edits[] = {
	{ CONFIG("null"), "its JSON: config is missing" },
	{ CONFIG("[]"), "its JSON: config is not an object" },
	{ "{\"tokens\":null}", "tokens is missing" },
	{ CONFIG("{\"json_size\":\"16384\"}"),
	  "config: json_size is 16384, not 12288" },
	{ CONFIG("{\"json_size\":12288}"), "json_size is not a string" },
	{ CONFIG("{\"json_size\":\"012288\"}"), "json_size is not a number" },
	{ CONFIG("{\"json_size\":\" 12288\"}"), "json_size is not a number" },
	{ CONFIG("{\"json_size\":\"18446744073709551616\"}"),
	  "json_size is not a number: \"18446744073709551616\"" },
	{ CONFIG("{\"keyslots_size\":\"-4096\"}"),
	  "keyslots_size is not a number" },
	{ CONFIG("{\"keyslots_size\":\"16744449\"}"),
	  "keyslots_size is out of range: 16744449" },
	{ CONFIG("{\"keyslots_size\":\"134221824\"}"),
	  "keyslots_size is out of range" },
	{ CONFIG("{\"flags\":{}}"), "flags is not a list" },
	{ CONFIG("{\"flags\":[1]}"), "a list of names has something else" },
	{ CONFIG("{\"requirements\":[]}"), "requirements is not an object" },
	{ CONFIG("{\"requirements\":{\"mandatory\":{}}}"),
	  "mandatory is not a list" },
	{ CONFIG("{\"requirements\":{\"mandatory\":[\"offline-reencrypt\"]}}"),
	  "img: it is being reencrypted" },
	{ CONFIG("{\"requirements\":{\"mandatory\":[\"opal\"]}}"),
	  "img: it is encrypted by the disk (opal)" },
	{ CONFIG("{\"requirements\":{\"mandatory\":[\"inline-hw-tags\"]}}"),
	  "(inline-hw-tags), which is not supported" },
	{ CONFIG("{\"requirements\":{\"mandatory\":[\"a\\nb\\u001b\"]}}"),
	  "a requirement that is not known: \"a?b?\"" },

	{ "{\"segments\":{\"0\":null}}", "segments: 0 is missing" },
	{ "{\"segments\":{\"1\":{}}}", "segments: there are 2" },
	{ SEGMENT("{\"type\":\"linear\"}"),
	  "segment 0: its type is not known: \"linear\"" },
	{ SEGMENT("{\"type\":\"hw-opal-crypt\"}"), "by the disk (opal)" },
	{ SEGMENT("{\"flags\":[\"backup-final\"]}"),
	  "a flag is not known: \"backup-final\"" },
	{ SEGMENT("{\"integrity\":{\"type\":\"hmac(sha256)\"}}"),
	  "it has integrity protection" },
	{ SEGMENT("{\"encryption\":\"aes-ecb\"}"),
	  "segment 0: its cipher is not supported: aes-ecb with a key of 512" },
	{ SEGMENT("{\"encryption\":7}"), "encryption is not a string" },
	{ SEGMENT("{\"encryption\":\"0123456789012345678901234567890123456789"
		  "012345678901234567890123456789\"}"),
	  "encryption is too long" },
	{ SEGMENT("{\"iv_tweak\":null}"), "iv_tweak is missing" },
	{ SEGMENT("{\"sector_size\":\"512\"}"), "sector_size is not a number" },
	{ SEGMENT("{\"sector_size\":0}"), "sector_size is out of range: 0" },
	{ SEGMENT("{\"sector_size\":1536}"), "sector_size is out of range" },
	{ SEGMENT("{\"sector_size\":8192}"), "sector_size is out of range" },
	{ SEGMENT("{\"offset\":\"16777728\"}"),
	  "its offset is no multiple of the sector size: 16777728" },
	{ SEGMENT("{\"offset\":\"16773120\"}"),
	  "it begins inside the header, at 16773120" },
	{ SEGMENT("{\"offset\":\"33554432\"}"), "it ends after the disk" },
	{ SEGMENT("{\"size\":7}"), "size is not a string" },
	{ SEGMENT("{\"size\":\"0\"}"), "its size is no multiple" },
	{ SEGMENT("{\"size\":\"512\"}"), "its size is no multiple" },
	{ SEGMENT("{\"size\":\"16781312\"}"), "it ends after the disk" },
	{ SEGMENT("{\"size\":\"18446744073709547520\"}"),
	  "its size is out of range" },

	{ "{\"digests\":{\"0\":null}}", "segment 0: it has no digest" },
	{ "{\"digests\":{\"x\":{}}}", "digest: \"x\" is not a number" },
	{ DIGEST("{\"type\":\"x\"}"),
	  "digest 0: its type is not known: \"x\"" },
	{ DIGEST("{\"keyslots\":null}"), "keyslots is missing" },
	{ DIGEST("{\"keyslots\":[\"1\"]}"), "\"1\" does not exist" },
	{ DIGEST("{\"keyslots\":[0]}"), "something else" },
	{ DIGEST("{\"segments\":[\"0\",\"1\"]}"), "\"1\" does not exist" },
	{ DIGEST("{\"segments\":[]}"), "segment 0: it has no digest" },
	{ DIGEST("{\"hash\":\"md5\"}"), "its hash is not supported: md5" },
	{ DIGEST("{\"iterations\":-1}"), "iterations is out of range: -1" },
	{ DIGEST("{\"iterations\":4294967296}"), "iterations is out of range" },
	{ DIGEST("{\"iterations\":1}"), "digest 0: asks for" },
	{ DIGEST("{\"salt\":\"AAAA\"}"),
	  "salt is not 8 to 64 bytes in base64" },
	{ DIGEST("{\"digest\":\"AAAAAAAAAAAA\"}"),
	  "digest is not 20 to 64 bytes in base64" },
	{ "{\"digests\":{\"1\":{\"type\":\"pbkdf2\",\"keyslots\":[],"
	  "\"segments\":[\"0\"]}}}",
	  "digest 1: it is the second one of segment 0" },

	{ "{\"keyslots\":{\"32\":{}}}", "\"32\" is not one of 0 to 31" },
	{ "{\"keyslots\":{\"00\":{}}}", "\"00\" is not one of 0 to 31" },
	{ "{\"keyslots\":{\"\":{}}}", "\"\" is not one of 0 to 31" },
	{ "{\"keyslots\":{\"1\":[]}}", "key slot 1: it is not an object" },
	{ "{\"keyslots\":{\"1\":{}}}", "key slot 1: type is missing" },
	{ SLOT("{\"priority\":3}"), "priority is not 0, 1 or 2" },
	{ SLOT("{\"key_size\":65}"), "its key is too large: 65 bytes" },
	{ SLOT("{\"key_size\":1.5}"), "key_size is not a number" },
	{ SLOT("{\"area\":null}"), "area is missing" },
	{ SLOT("{\"af\":null}"), "af is missing" },
	{ SLOT("{\"af\":{\"stripes\":4001}}"), "stripes is 4001, not 4000" },
	{ SLOT("{\"af\":{\"type\":\"x\"}}"),
	  "key slot 0: its anti-forensic split is not supported: x" },
	{ SLOT("{\"af\":{\"hash\":\"md5\"}}"),
	  "its hash is not supported: md5" },
	{ SLOT("{\"type\":\"x\"}"),
	  "key slot 0: its type is not supported: x" },
	{ AREA("{\"type\":\"x\"}"), "its area is not supported: x" },
	{ AREA("{\"encryption\":\"x\"}"), "its cipher is not supported: x" },
	{ AREA("{\"key_size\":0}"), "key_size is out of range: 0" },
	{ AREA("{\"offset\":\"33280\"}"),
	  "is not aligned to 4096 bytes: 33280" },
	{ AREA("{\"size\":\"0\"}"), "is not aligned to 4096 bytes" },
	{ AREA("{\"size\":\"253952\"}"),
	  "its area is too small: 253952 bytes for 256000" },
	{ AREA("{\"offset\":\"16384\"}"), "outside of the key slots' room" },
	{ AREA("{\"offset\":\"16523264\"}"), "outside of the key slots' room" },
	{ AREA("{\"offset\":\"18446744073709547520\"}"), "outside of the key" },
	{ AREA("{\"size\":\"18446744073709547520\"}"), "outside of the key" },
	{ OTHER("{\"offset\":\"286720\",\"size\":\"4096\"}"),
	  "key slot 3: its area overlaps that of key slot 0" },
	{ OTHER("{\"offset\":\"1\",\"size\":\"4096\"}"), "is not aligned" },
	{ KDF("{\"type\":\"scrypt\"}"),
	  "its key derivation is not supported: scrypt" },
	{ KDF("{\"type\":\"argon2id\"}"), "key slot 0: time is missing" },
	{ KDF("{\"type\":\"argon2i\",\"time\":4,\"cpus\":1,"
	      "\"memory\":4194305}"),
	  "key slot 0: asks for" },
	{ KDF("{\"hash\":\"md5\"}"), "its hash is not supported: md5" },
	{ KDF("{\"iterations\":2147483648}"), "iterations is out of range" },
	{ KDF("{\"salt\":\"\"}"), "salt is not 8 to 64 bytes" },
	{ KDF("{\"salt\":\"AAAAAAAAAAAAAAA\"}"), "in base64" },
	{ KDF("{\"salt\":\"AAAAAAAAAAAAAA==\\n\"}"), "in base64" },
	{ KDF("{\"salt\":\" AAAAAAAAAAAAAA=\"}"), "in base64" },
	{ KDF("{\"salt\":\"AAAAAAAAAAAAAAB=\"}"), "in base64" },
	{ KDF("{\"salt\":\"AAAA=AAAAAAAAAAA\"}"), "in base64" },
	{ KDF("{\"salt\":\"AAAAAAAAAAAAAAA-\"}"), "in base64" },

	{ "{\"tokens\":{\"0\":[]}}", "token 0: it is not an object" },
	{ "{\"tokens\":{\"0\":{\"type\":\"x\",\"keyslots\":[\"7\"]}}}",
	  "token 0: \"7\" does not exist" },
};

#endif /* BDUS_LUKS2EDITS_H */
