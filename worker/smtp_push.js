// The message itself to home by SMTP, over verified TLS, to a listener that asks for a password and
// knows an id that comes a second time.

import { isAscii } from "./address.js";
import { received } from "./object.js";
import { SmtpClient } from "./smtp_client.js";

const CR = 13,
	LF = 10,
	DOT = 46;
const text = new TextEncoder();
// For good, and about the message or its recipient: what else begins with a 5 is about us.
const REFUSES = /^55/;
const isDone = (code) => code >= 200 && code < 300,
	isGoOn = (code) => code >= 300 && code < 400; // RFC 5321 4.2.1

// RFC 5321 4.5.2, over pieces of any size; ends with the final dot.  What ends a line goes out as
// CRLF, whatever it was: a CR or LF alone would let a sender end the data where the next server
// believes in such line ends (SMTP smuggling).
export class DotStuffer {
	constructor() {
		this.begins = true; // the next octet begins a line
		this.cr = false; // a CR came, whose LF may follow
	}

	add(piece) {
		const more = []; // [where, octet], to be put in
		let at = 0,
			cr = -1,
			lf = -1;
		const next = (octet, known) => {
			if (known >= at) return known;
			const found = piece.indexOf(octet, at);
			return found < 0 ? piece.length : found;
		};
		if (this.cr && piece.length > 0) {
			if (piece[0] === LF) at = 1;
			else more.push([0, LF]);
			this.cr = false;
			this.begins = true;
		}
		while (at < piece.length) {
			if (this.begins && piece[at] === DOT) more.push([at, DOT]);
			cr = next(CR, cr);
			lf = next(LF, lf);
			const end = Math.min(cr, lf);
			this.begins = end < piece.length;
			at = end + 1;
			if (end === piece.length) break;
			if (lf < cr) more.push([end, CR]);
			else if (at === piece.length) this.cr = true;
			else if (lf === at) at++;
			else more.push([at, LF]);
		}
		if (more.length === 0) return piece;
		const out = new Uint8Array(piece.length + more.length);
		let from = 0;
		more.forEach(([where, octet], n) => {
			out.set(piece.subarray(from, where), from + n);
			out[where + n] = octet;
			from = where;
		});
		out.set(piece.subarray(from), from + more.length);
		return out;
	}

	end() {
		return text.encode(this.cr ? "\n.\r\n" : this.begins ? ".\r\n" : "\r\n.\r\n");
	}
}

// A stream that stands still is an error like any other: at 50 s Cloudflare would end it for good.
async function* pieces(head, body, deadline) {
	yield head;
	if (body instanceof Uint8Array) {
		yield body;
		return;
	}
	yield body.top;
	for (;;) {
		const { done, value } = await deadline.limit(
			body.reader.read(),
			"the message's octets",
		);
		if (done) return;
		yield value;
	}
}

// Sends head and body, size octets in all, by DATA or BDAT, and returns the last reply.
async function sendMessage(client, head, body, size) {
	const chunking = client.offers.has("CHUNKING");
	const stuffer = new DotStuffer();
	let sent = 0;

	if (chunking) await client.send(`BDAT ${size} LAST\r\n`, "BDAT");
	for await (const piece of pieces(head, body, client.deadline)) {
		sent += piece.length;
		if (sent > size) throw new Error("the message is longer than was announced");
		await client.send(chunking ? piece : stuffer.add(piece), "the message");
	}
	if (sent !== size) throw new Error(`the message ended after ${sent} of ${size} octets`);
	if (!chunking) await client.send(stuffer.end(), "the end of data");
	return client.reply("the end of data");
}

function mailFrom(client, from, to, size) {
	const has = (keyword) => client.offers.has(keyword);
	if (!isAscii(from + to) && !has("SMTPUTF8"))
		throw new Error("an address that is not ASCII, and a server without SMTPUTF8");
	return (
		`MAIL FROM:<${from}>` +
		(has("SIZE") ? ` SIZE=${size}` : "") +
		(has("8BITMIME") ? " BODY=8BITMIME" : "") +
		(isAscii(from + to) ? "" : " SMTPUTF8")
	);
}

// As httpsPush.  body: the octets, or as message.js's readTop gives them; bodySize in all.
export async function smtpPush(config, message, body, bodySize, deadline) {
	const { smtp, edge } = config,
		{ from, to } = message.envelope;
	const head = text.encode(
		`X-Posthouse-Id: ${message.id}\r\n` +
			received(edge, message.client, to, message.id, message.when),
	);
	const size = head.length + bodySize;
	const client = new SmtpClient(smtp, deadline);
	try {
		await client.must(undefined, 2);
		await client.hello(edge);
		if (smtp.tls === "starttls") await client.startTls(edge);
		if (smtp.user !== undefined) await client.login(smtp.user, smtp.password);
		if (smtp.user !== undefined && message.client.ip !== undefined)
			await client.speakFor(message.client, edge, smtp.user, smtp.password);
		const mail = mailFrom(client, from, to, size),
			data = client.offers.has("CHUNKING") ? [] : ["DATA"];
		const commands = [mail, `RCPT TO:<${to}>`, ...data];
		const verbs = ["MAIL FROM", "RCPT TO", "DATA"]; // logs have no addresses
		const pipelining = client.offers.has("PIPELINING");
		if (pipelining) await client.send(commands.map((c) => `${c}\r\n`).join(""), "MAIL");
		for (const [n, command] of commands.entries()) {
			const { code, text: words } = pipelining
				? await client.reply(verbs[n])
				: await client.command(command, verbs[n]);
			if (n === 1 && REFUSES.test(code)) return { refused: words };
			if (!(n === 2 ? isGoOn : isDone)(code))
				throw new Error(`${verbs[n]}: ${words}`);
		}
		const last = await sendMessage(client, head, body, size);
		if (REFUSES.test(last.code)) return { refused: last.text };
		if (!isDone(last.code)) throw new Error(`end of data: ${last.text}`);
		await client.quit();
		return {};
	} finally {
		client.abort();
	}
}
