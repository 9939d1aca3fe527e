// The age v1 file format with X25519 recipients (C2SP age; doc/OBJECT has the formulas).
//
// X25519, HKDF, HMAC come from WebCrypto; ChaCha20-Poly1305, which it lacks, from wasm/.

import cipher from "./chacha20_poly1305.wasm";

const CHUNK = 65536,
	TAG = 16;
const RECIPIENTS_MAX = 8; // as edges have it: a key, its successor, one offline
const text = new TextEncoder();

const wasm = new WebAssembly.Instance(cipher).exports;
const KEY_AT = wasm.aead.value,
	NONCE_AT = KEY_AT + 32,
	TEXT_AT = KEY_AT + 64;
const memory = new Uint8Array(wasm.memory.buffer);

const base64 = (octets) => btoa(String.fromCharCode(...octets)).replace(/=+$/, "");

async function hkdf(secret, salt, info) {
	const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
	const how = { name: "HKDF", hash: "SHA-256", salt, info: text.encode(info) };
	return new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
}

function concat(...parts) {
	const whole = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
	let at = 0;
	for (const p of parts) {
		whole.set(p, at);
		at += p.length;
	}
	return whole;
}

// The 32 octets of "age1..." (bech32, BIP 173).  Throws what is wrong with it.
export function recipient(line) {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	const values = [...line.slice(4)].map((c) => alphabet.indexOf(c));
	if (/^AGE-SECRET-KEY-/i.test(line))
		throw new Error(
			"a secret key; write the public one, and make another pair: this was seen",
		);
	if (!line.startsWith("age1") || line.length !== 62 || values.includes(-1))
		throw new Error(
			`"${line}" is no age recipient; write age1 and 58 letters and digits`,
		);
	let sum = 1;
	for (const v of [3, 3, 3, 0, 1, 7, 5, ...values]) {
		// "age", expanded
		const top = sum >>> 25;
		sum = ((sum & 0x1ffffff) << 5) ^ v;
		[0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((g, i) => {
			sum ^= (top >>> i) & 1 ? g : 0;
		});
	}
	if (sum !== 1)
		throw new Error(
			`the age recipient "${line}" has a typing error: its checksum is wrong`,
		);
	const key = new Uint8Array(32);
	let held = 0,
		bits = 0,
		at = 0;
	for (const v of values.slice(0, -6)) {
		held = ((held << 5) | v) & 0xfff;
		bits += 5;
		if (bits >= 8) key[at++] = held >> (bits -= 8);
	}
	return key;
}

// "age1... age1...": each of them, at least one.
export function recipients(lines) {
	const keys = lines
		.trim()
		.split(/[\s,]+/)
		.filter(Boolean)
		.map(recipient);
	if (keys.length < 1 || keys.length > RECIPIENTS_MAX)
		throw new Error(`${keys.length} age recipients; write 1 to ${RECIPIENTS_MAX}`);
	return keys;
}

async function stanza(fileKey, key) {
	const own = await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
	const share = new Uint8Array(await crypto.subtle.exportKey("raw", own.publicKey));
	const peer = await crypto.subtle.importKey("raw", key, { name: "X25519" }, false, []);
	const shared = new Uint8Array(
		await crypto.subtle.deriveBits(
			{ name: "X25519", public: peer },
			own.privateKey,
			256,
		),
	);
	if (shared.every((octet) => octet === 0))
		throw new Error("an age recipient of low order: it is nobody's key");
	const wrap = await hkdf(shared, concat(share, key), "age-encryption.org/v1/X25519");
	memory.set(wrap, KEY_AT);
	memory.fill(0, NONCE_AT, TEXT_AT);
	memory.set(fileKey, TEXT_AT);
	wasm.chacha20_poly1305_seal(fileKey.length);
	const body = memory.subarray(TEXT_AT, TEXT_AT + fileKey.length + TAG);
	return `-> X25519 ${base64(share)}\n${base64(body)}\n`;
}

async function header(fileKey, keys) {
	const stanzas = (await Promise.all(keys.map((key) => stanza(fileKey, key)))).join("");
	const open = `age-encryption.org/v1\n${stanzas}---`;
	const secret = await hkdf(fileKey, new Uint8Array(), "header");
	const how = { name: "HMAC", hash: "SHA-256" };
	const signer = await crypto.subtle.importKey("raw", secret, how, false, ["sign"]);
	const mac = await crypto.subtle.sign("HMAC", signer, text.encode(open));
	return text.encode(`${open} ${base64(new Uint8Array(mac))}\n`);
}

// Seals what the parts (Uint8Arrays) hold, one after another, to all keys of recipients().
export async function seal(parts, keys) {
	const fileKey = crypto.getRandomValues(new Uint8Array(16));
	const salt = crypto.getRandomValues(new Uint8Array(16));
	const head = await header(fileKey, keys);
	const key = await hkdf(fileKey, salt, "payload");
	const size = parts.reduce((n, p) => n + p.length, 0);
	const chunks = Math.max(1, Math.ceil(size / CHUNK));
	const sealed = new Uint8Array(head.length + salt.length + size + chunks * TAG);
	sealed.set(head);
	sealed.set(salt, head.length);

	// From here on without a pause: other messages of this isolate have the same memory.
	const counter = new DataView(wasm.memory.buffer, NONCE_AT, 12);
	let out = head.length + salt.length,
		part = 0,
		at = 0;
	memory.set(key, KEY_AT);
	memory.fill(0, NONCE_AT, TEXT_AT);
	for (let chunk = 0; chunk < chunks; chunk++) {
		let n = 0;
		while (n < CHUNK && part < parts.length) {
			const some = parts[part].subarray(at, at + CHUNK - n);
			memory.set(some, TEXT_AT + n);
			n += some.length;
			at += some.length;
			if (at === parts[part].length) {
				part++;
				at = 0;
			}
		}
		counter.setUint32(7, chunk);
		counter.setUint8(11, chunk === chunks - 1 ? 1 : 0);
		wasm.chacha20_poly1305_seal(n);
		sealed.set(memory.subarray(TEXT_AT, TEXT_AT + n + TAG), out);
		out += n + TAG;
	}
	memory.fill(0, KEY_AT, TEXT_AT);
	return sealed;
}
