// What Cloudflare hands to a Worker: its octets, whole or not at all, and whom it came from.

import { spelled } from "./address.js";

const FROM_CLOUDFLARE =
	/^from +([\x21-\x7e]{1,255}) +\(\[?([\da-f:.]+)\]?\) +by +cloudflare-email\.(net|com)[ ;]/i;
const ITS_NAME = /\sby\s+cloudflare-email\./gi;
const TRACE_MAX = 2048; // octets of the first header field that are looked at

// All of message.raw.  One that ends early, or stands still, is an error: the sender keeps it.
export async function readWhole(message, deadline) {
	const whole = new Uint8Array(message.rawSize);
	const reader = message.raw.getReader();
	let at = 0;
	for (;;) {
		const { done, value } = await deadline.limit(reader.read(), "the message's octets");
		if (done) break;
		if (at + value.length > whole.length)
			throw new Error(
				`the message is longer than its announced ${whole.length} octets`,
			);
		whole.set(value, at);
		at += value.length;
	}
	if (at !== whole.length)
		throw new Error(`the message ended after ${at} of ${whole.length} octets`);
	return whole;
}

// Enough of message.raw's beginning to tell the client by, and the reader of the rest.
export async function readTop(message, deadline) {
	const reader = message.raw.getReader();
	let top = new Uint8Array(0);
	while (top.length < TRACE_MAX) {
		const { done, value } = await deadline.limit(reader.read(), "the message's octets");
		if (done) break;
		const longer = new Uint8Array(top.length + value.length);
		longer.set(top);
		longer.set(value, top.length);
		top = longer;
	}
	return { top, reader };
}

// Reverse-path and forward-path.  Throws a refusal's text.
export function envelope(message) {
	let which = "5.1.7 the sender's address";
	try {
		const from = spelled(message.from ?? "");
		which = "5.1.3 the recipient's address";
		const to = spelled(message.to);
		if (to === "") throw new Error("it is empty");
		return { from, to };
	} catch (error) {
		throw new Error(`553 ${which} cannot be used: ${error.message}`);
	}
}

// An address as the transcript has it, or undefined: never a mapped one.
function known(ip) {
	const mapped = ip.match(/^::ffff:([0-9.]+)$/i);
	if (mapped) return known(mapped[1]);
	if (/^\d{1,3}(\.\d{1,3}){3}$/.test(ip))
		return ip.split(".").every((n) => +n < 256 && String(+n) === n) && ip !== "0.0.0.0"
			? { ip }
			: undefined;
	if (!/^[0-9a-f:.]{2,45}$/i.test(ip) || !ip.includes(":")) return undefined;
	try {
		const short = new URL(`http://[${ip}]/`).hostname.slice(1, -1);
		return short === "::" || short.startsWith("::ffff:")
			? undefined
			: { ip: short, v6: true };
	} catch {
		return undefined;
	}
}

// The client's HELO and address, { helo, ip, v6 }, from the Received line of Cloudflare's own MX.
// Only where that is the very first line: below it stands what a sender may have written.  A
// HELO with a space in it could spell the rest of the line, so it makes all of it unknown, and
// so does a line that names the MX twice.
export function client(raw) {
	const top = new TextDecoder("latin1").decode(raw.subarray(0, TRACE_MAX));
	const field = top.match(/^Received:((?:[^\r\n]|\r?\n[ \t])*)\r?\n/i);
	const line = field?.[1].replace(/\r?\n[ \t]/g, " ").trim();
	const said = line?.match(FROM_CLOUDFLARE);
	const once = line?.match(ITS_NAME)?.length === 1;
	const address = said && once && known(said[2]);
	return address ? { helo: said[1], ...address } : {};
}
