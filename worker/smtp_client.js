// An SMTP client on Cloudflare's sockets (RFC 5321, 3207, 4954, 2920, 3030, Postfix's XCLIENT):
// commands and replies.

import { connect } from "cloudflare:sockets";

import { xtext } from "./object.js";

const STEP_MS = 8000; // for one reply; the message's own deadline ends it earlier
const LINE_MAX = 2048,
	LINES_MAX = 128; // of a reply: more than any server says
const text = new TextEncoder(),
	latin1 = new TextDecoder("latin1");
const encode64 = (s) => btoa(String.fromCharCode(...text.encode(s)));

export class SmtpClient {
	// how: { host, port, tls: "starttls" | "implicit" | "none" }
	constructor(how, deadline) {
		const secureTransport = { starttls: "starttls", implicit: "on", none: "off" }[
			how.tls
		];
		this.deadline = deadline;
		this.secure = how.tls === "implicit";
		this.take(
			connect(
				{ hostname: how.host, port: how.port },
				{ secureTransport, allowHalfOpen: false },
			),
		);
	}

	// What was read before belongs to the socket before (RFC 3207 4.2).
	take(socket) {
		this.socket = socket;
		socket.closed.catch(() => {});
		socket.opened.catch(() => {});
		this.reader = socket.readable.getReader();
		this.writer = socket.writable.getWriter();
		this.held = "";
	}

	async line() {
		for (;;) {
			const end = this.held.indexOf("\r\n");
			if (end > LINE_MAX || (end < 0 && this.held.length > LINE_MAX))
				throw new Error(`a reply line of more than ${LINE_MAX} octets`);
			if (end >= 0) {
				const line = this.held.slice(0, end);
				this.held = this.held.slice(end + 2);
				return line;
			}
			const { done, value } = await this.reader.read();
			if (done) throw new Error("the server closed the connection");
			this.held += latin1.decode(value);
		}
	}

	async wholeReply() {
		const lines = [];
		let code;
		while (lines.length < LINES_MAX) {
			const [, digits, more, words] =
				(await this.line()).match(/^([2-5]\d\d)([ -]|$)(.*)$/s) ?? [];
			if (digits === undefined || (code !== undefined && digits !== code))
				throw new Error("the server does not speak SMTP");
			code = digits;
			lines.push(words);
			if (more !== "-")
				return { code: +code, lines, text: `${code} ${lines.join("\n")}` };
		}
		throw new Error(`a reply of more than ${LINES_MAX} lines`);
	}

	reply(what) {
		return this.deadline.limit(this.wholeReply(), what, STEP_MS);
	}

	send(octets, what) {
		const some = typeof octets === "string" ? text.encode(octets) : octets;
		return this.deadline.limit(this.writer.write(some), what, this.deadline.left());
	}

	async command(line, what = line) {
		await this.send(`${line}\r\n`, what);
		return this.reply(what);
	}

	// As command, and anything but one of these first digits is an error.
	async must(line, good, what = line) {
		const reply =
			line === undefined
				? await this.reply("the greeting")
				: await this.command(line, what);
		if (String(reply.code)[0] !== String(good))
			throw new Error(`${line === undefined ? "greeting" : what}: ${reply.text}`);
		return reply;
	}

	async hello(name) {
		const { lines } = await this.must(`EHLO ${name}`, 2);
		this.offers = new Map(
			lines
				.slice(1)
				.map((l) => l.toUpperCase().split(/[ =](.*)/s))
				.map(([k, v]) => [k, v ?? ""]),
		);
	}

	async startTls(name) {
		if (!this.offers.has("STARTTLS")) throw new Error("the server offers no STARTTLS");
		await this.must("STARTTLS", 2);
		this.reader.releaseLock();
		this.writer.releaseLock();
		this.take(this.socket.startTls());
		this.secure = true;
		await this.hello(name);
	}

	async login(user, password) {
		const ways = (this.offers.get("AUTH") ?? "").split(" ");
		if (ways.includes("PLAIN"))
			await this.must(
				`AUTH PLAIN ${encode64(`\0${user}\0${password}`)}`,
				2,
				"AUTH",
			);
		else if (ways.includes("LOGIN")) {
			await this.must("AUTH LOGIN", 3);
			await this.must(encode64(user), 3, "AUTH LOGIN, the user");
			await this.must(encode64(password), 2, "AUTH LOGIN, the password");
		} else throw new Error("the server offers neither AUTH PLAIN nor AUTH LOGIN");
	}

	// Who brought us the message, told to a server that takes our word for it after a login.
	// It takes the message without it too: a refusal is left alone.
	async speakFor(client, name, user, password) {
		await this.hello(name);
		const takes = (this.offers.get("XCLIENT") ?? "").split(" ");
		if (!takes.includes("ADDR")) return;
		const attributes = [
			["ADDR", (client.v6 ? "IPV6:" : "") + client.ip],
			["PROTO", "ESMTP"],
			["HELO", xtext(client.helo)],
		]
			.filter(([attribute]) => takes.includes(attribute))
			.map(([attribute, value]) => `${attribute}=${value}`);
		const { code, text: words } = await this.command(
			`XCLIENT ${attributes.join(" ")}`,
			"XCLIENT",
		);
		if (code >= 400) return;
		if (code >= 300) throw new Error(`XCLIENT: ${words}`);
		// In the client's name, which Postfix goes by, HELO= or not; or in ours.
		await this.hello(client.helo).catch(() => this.hello(name));
		if (this.offers.has("AUTH")) await this.login(user, password);
	}

	// Ends it now.  What was not sent whole is not accepted by anybody.
	abort() {
		this.socket.close().catch(() => {});
	}

	async quit() {
		await this.send("QUIT\r\n", "QUIT").catch(() => {});
		this.abort();
	}
}
