// GET /probe?host=mx.example.org&port=25: what the world sees of home, for who has no other
// machine outside.  It opens connections for whoever asks, so only with the PROBE_TOKEN, only to
// the names of PROBE_HOSTS, and a few times a minute.

import { connect } from "cloudflare:sockets";
import { Deadline } from "./deadline.js";

const PROBE_MS = 8000;
const BANNER_MAX = 512;
const MINUTE_MS = 60000,
	PROBES_MAX = 10; // a minute, in one isolate: each is five of its 50 subrequests
const RESOLVER = "https://cloudflare-dns.com/dns-query";
const TYPES = ["A", "AAAA", "MX", "TXT"];

async function same(a, b) {
	const hash = async (s) =>
		new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(s)));
	const [x, y] = await Promise.all([hash(a), hash(b)]);
	return x.reduce((diff, octet, n) => diff | (octet ^ y[n]), 0) === 0;
}

const lately = [];

// One more; false: there were enough in the last minute.
function allowed(now) {
	while (lately.length > 0 && now - lately[0] >= MINUTE_MS) lately.shift();
	return lately.length < PROBES_MAX && lately.push(now) > 0;
}

const refuse = (status, words) => new Response(`${words}\n`, { status });

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
	if (url.pathname !== "/probe" || !env.PROBE_TOKEN)
		return refuse(404, "There is nothing here.");
	const token = request.headers.get("authorization")?.match(/^Bearer (\S+)$/)?.[1] ?? "";
	if (!/^[0-9a-f]{64}$/i.test(env.PROBE_TOKEN.trim()))
		return refuse(500, "PROBE_TOKEN: write 64 hexadecimal digits.");
	if (!(await same(token, env.PROBE_TOKEN.trim())))
		return refuse(401, "The token is missing or wrong.");
	if (request.method !== "GET") return refuse(405, "GET");
	const host = (url.searchParams.get("host") ?? "").toLowerCase(),
		port = url.searchParams.get("port") ?? "25";
	const hosts = (env.PROBE_HOSTS ?? "").toLowerCase().split(/[\s,]+/).filter(Boolean);
	if (!hosts.includes(host)) return refuse(403, "Only names in PROBE_HOSTS are probed.");
	if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65535)
		return refuse(400, "Write ?host=NAME&port=1..65535.");
	if (!allowed(Date.now())) return refuse(429, "That was often enough for a minute.");
	const deadline = new Deadline(PROBE_MS);
	const [tcp, dns] = await Promise.all([
		greeting(host, Number(port), deadline),
		names(env.PROBE_RESOLVER ?? RESOLVER, host, deadline),
	]);
	return Response.json({ host, port: Number(port), tcp, dns });
}
