// GET /probe?host=mx.example.org&port=25: what the world sees of home, for `posthouse doctor` where
// nobody else stands outside.  Only with the PROBE_TOKEN, as it opens connections for whoever asks.

import { connect } from "cloudflare:sockets";
import { Deadline } from "./deadline.js";

const PROBE_MS = 8000;
const BANNER_MAX = 512;
const RESOLVER = "https://cloudflare-dns.com/dns-query";
const TYPES = ["A", "AAAA", "MX", "TXT"];

async function same(a, b) {
	const hash = async (s) =>
		new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(s)));
	const [x, y] = await Promise.all([hash(a), hash(b)]);
	return x.reduce((diff, octet, n) => diff | (octet ^ y[n]), 0) === 0;
}

async function greeting(host, port, deadline) {
	const began = Date.now();
	const socket = connect({ hostname: host, port });
	socket.closed.catch(() => {});
	try {
		await deadline.limit(socket.opened, "connect");
		const connected = Date.now() - began;
		const first = await deadline
			.limit(socket.readable.getReader().read(), "a greeting", PROBE_MS / 2)
			.catch(() => ({}));
		const said = new TextDecoder("latin1").decode(
			(first.value ?? new Uint8Array()).subarray(0, BANNER_MAX),
		);
		return {
			connected: true,
			ms: connected,
			greeting: said.split("\r\n")[0].replace(/[^\x20-\x7e]/g, "?"),
		};
	} catch (error) {
		return { connected: false, why: String(error.message ?? error) };
	} finally {
		socket.close().catch(() => {});
	}
}

async function names(resolver, host, deadline) {
	const asked = TYPES.map(async (type) => {
		const url = `${resolver}?name=${encodeURIComponent(host)}&type=${type}`;
		const response = await fetch(url, {
			headers: { accept: "application/dns-json" },
			signal: AbortSignal.timeout(deadline.left()),
		});
		const { Status, AD, Answer = [] } = await response.json();
		return [
			type,
			{ status: Status, secure: AD === true, answers: Answer.map((a) => a.data) },
		];
	});
	const found = await Promise.allSettled(asked);
	return Object.fromEntries(
		found.map(
			(f, n) =>
				f.value ?? [
					TYPES[n],
					{ why: String(f.reason?.message ?? f.reason) },
				],
		),
	);
}

export async function probe(request, env) {
	const url = new URL(request.url);
	const token = request.headers.get("authorization")?.match(/^Bearer (\S+)$/)?.[1] ?? "";
	if (url.pathname !== "/probe" || !env.PROBE_TOKEN)
		return new Response("There is nothing here.\n", { status: 404 });
	if (!(await same(token, env.PROBE_TOKEN.trim())))
		return new Response("The token is missing or wrong.\n", { status: 401 });
	const host = url.searchParams.get("host") ?? "",
		port = Number(url.searchParams.get("port") ?? 25);
	if (
		!/^[A-Za-z0-9.:_-]{1,255}$/.test(host) ||
		!Number.isInteger(port) ||
		port < 1 ||
		port > 65535
	)
		return new Response("Write ?host=NAME&port=1..65535.\n", { status: 400 });
	const deadline = new Deadline(PROBE_MS);
	const [tcp, dns] = await Promise.all([
		greeting(host, port, deadline),
		names(env.PROBE_RESOLVER ?? RESOLVER, host, deadline),
	]);
	return Response.json({ host, port, tcp, dns });
}
