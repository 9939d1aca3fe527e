// The message itself to home by SMTP, over verified TLS, to a listener that asks for a password and
// knows an id that comes a second time.

import { isAscii } from "./address.js";
import { received } from "./object.js";
import { SmtpClient } from "./smtp_client.js";

const CR = 13,
	LF = 10,
	DOT = 46;
const text = new TextEncoder();

// RFC 5321 4.5.2, over pieces of any size; ends with the final dot.
export class DotStuffer {
	constructor() {
		this.last = [CR, LF];
	}

	add(piece) {
		const dots = [];
		for (let at = piece.indexOf(DOT); at >= 0; at = piece.indexOf(DOT, at + 1)) {
			const before = at > 0 ? piece[at - 1] : this.last[1];
			const earlier =
				at > 1 ? piece[at - 2] : at === 1 ? this.last[1] : this.last[0];
			if (before === LF && earlier === CR) dots.push(at);
		}
		if (piece.length > 0)
			this.last = [piece.length > 1 ? piece.at(-2) : this.last[1], piece.at(-1)];
		if (dots.length === 0) return piece;
		const out = new Uint8Array(piece.length + dots.length);
		let from = 0;
		dots.forEach((at, n) => {
			out.set(piece.subarray(from, at), from + n);
			out[at + n] = DOT;
			from = at;
		});
		out.set(piece.subarray(from), from + dots.length);
		return out;
	}

	end() {
		return text.encode(
			this.last[0] === CR && this.last[1] === LF ? ".\r\n" : "\r\n.\r\n",
		);
	}
}

async function* pieces(head, body) {
	yield head;
	if (body instanceof Uint8Array) yield body;
	else yield* body;
}

// Sends head and body, size octets in all, by DATA or BDAT, and returns the last reply.
async function sendMessage(client, head, body, size) {
	const chunking = client.offers.has("CHUNKING");
	const stuffer = new DotStuffer();
	let sent = 0;

	if (chunking) await client.send(`BDAT ${size} LAST\r\n`, "BDAT");
	for await (const piece of pieces(head, body)) {
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

// As httpsPush.  body: the octets, or a stream of as many as bodySize says.
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
		const mail = mailFrom(client, from, to, size),
			data = client.offers.has("CHUNKING") ? [] : ["DATA"];
		const commands = [mail, `RCPT TO:<${to}>`, ...data];
		const replies = [];
		if (client.offers.has("PIPELINING"))
			await client.send(commands.map((c) => `${c}\r\n`).join(""), "MAIL");
		for (const [n, command] of commands.entries()) {
			replies.push(
				client.offers.has("PIPELINING")
					? await client.reply(command)
					: await client.command(command),
			);
			if (replies[n].code >= 400) {
				if (n === 1 && replies[n].code >= 500)
					// about this recipient, and for good
					return { refused: replies[n].text };
				throw new Error(`${command.split(":")[0]}: ${replies[n].text}`);
			}
		}
		const last = await sendMessage(client, head, body, size);
		if (last.code >= 500) return { refused: last.text };
		if (last.code >= 400) throw new Error(`end of data: ${last.text}`);
		await client.quit();
		return {};
	} finally {
		client.abort();
	}
}
