// The held object, as an edge makes it (doc/OBJECT): batch SMTP inside an age seal, a name, a MAC.

import { isAscii } from "./address.js";
import { seal } from "./age.js";

const text = new TextEncoder();
const UNKNOWN = "[UNAVAILABLE]";

const hex = (octets) => Array.from(octets, (o) => o.toString(16).padStart(2, "0")).join("");
const sha256 = async (octets) => new Uint8Array(await crypto.subtle.digest("SHA-256", octets));

async function hmac(key, ...parts) {
	const signer = await crypto.subtle.importKey(
		"raw",
		key,
		{ name: "HMAC", hash: "SHA-256" },
		false,
		["sign"],
	);
	const whole = await new Blob(parts).arrayBuffer();
	return new Uint8Array(await crypto.subtle.sign("HMAC", signer, whole));
}

function uuid(octets) {
	const o = octets.slice(0, 16);
	o[6] = 0x80 | (o[6] & 0x0f); // RFC 9562 5.8: version 8, its maker's own
	o[8] = 0x80 | (o[8] & 0x3f);
	return hex(o).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const uuidOctets = (id) =>
	Uint8Array.from(id.replaceAll("-", "").match(/../g), (two) => parseInt(two, 16));

// The same message to the same recipient has the same id, however often the Worker is run for it;
// nobody without the key can tell one from the other.  what: "message" for its octets, "header"
// where they are not there yet.
export async function idOf(key, what, { from, to }, octets) {
	const named = text.encode(`posthouse-worker-id-1\0${what}\0${from}\0${to}\0`);
	return uuid(await hmac(key, named, await sha256(octets)));
}

export async function macOf(key, id, hash) {
	return hex(await hmac(key, text.encode("posthouse-object-1"), uuidOctets(id), hash));
}

export const xtext = (s) =>
	s.replace(
		/[^\x21-\x7e]|[+=]|^\[/g,
		(c) => `+${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
	);

// Our own trace line (RFC 5321 4.4).
export function received(edge, client, to, id, when) {
	const date = when.toUTCString().replace("GMT", "+0000");
	const ip = client.ip === undefined ? "" : ` [${client.v6 ? "IPv6:" : ""}${client.ip}]`;
	const helo = (client.helo ?? "unknown").replace(/[^A-Za-z0-9.:_[\]-]/g, "?");
	return (
		`Received: from ${helo} (unknown${ip})\r\n\tby ${edge} (Posthouse) with ESMTP\r\n` +
		`\tid ${id}\r\n\tfor <${to}>;\r\n\t${date}\r\n`
	);
}

function head(edge, client, { from, to }, id) {
	const utf8 = isAscii(from + to) ? "" : " SMTPUTF8";
	const addr = client.ip === undefined ? UNKNOWN : (client.v6 ? "IPV6:" : "") + client.ip;
	const helo = client.helo === undefined ? UNKNOWN : xtext(client.helo);
	return (
		`EHLO ${client.helo ?? "?"}\r\n` +
		`XCLIENT NAME=${UNKNOWN} ADDR=${addr} PORT=${UNKNOWN} PROTO=ESMTP HELO=${helo} ` +
		`DESTADDR=${UNKNOWN} DESTPORT=${UNKNOWN}\r\n` +
		`XFORWARD IDENT=${id} SOURCE=REMOTE NAME=${xtext(edge)}\r\n` +
		`MAIL FROM:<${from}> BODY=8BITMIME${utf8}\r\nRCPT TO:<${to}>\r\n`
	);
}

// { id, mac, hash, sealed } of a whole message.
export async function makeObject(config, client, envelope, id, raw, when) {
	const trace = text.encode(received(config.edge, client, envelope.to, id, when));
	const parts = [
		text.encode(head(config.edge, client, envelope, id)),
		text.encode(`BDAT ${trace.length}\r\n`),
		trace,
		text.encode(`BDAT ${raw.length} LAST\r\n`),
		raw,
		text.encode("QUIT\r\n"),
	];
	const sealed = await seal(parts, config.recipients);
	const hash = await sha256(sealed);
	return { id, hash, sealed, mac: await macOf(config.macKey, id, hash) };
}
