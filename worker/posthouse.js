// Posthouse's edge on Cloudflare: an Email Worker that seals each message and gets it home by the
// first way that is open, or leaves it, sealed, in a bucket.  What it cannot finish it does not
// take: an exception makes the sender come again.

import { toBucket } from "./bucket.js";
import { configuration } from "./configuration.js";
import { BUCKET_MS, Deadline, TOTAL_MS } from "./deadline.js";
import { httpsConfirm, httpsPush } from "./https_push.js";
import { client, envelope, readTop, readWhole } from "./message.js";
import { mtaSts } from "./mta_sts.js";
import { idOf, makeObject } from "./object.js";
import { probe } from "./probe.js";
import { smtpPush } from "./smtp_push.js";

// For the Worker's log: what became of it, and no address.
const log = (id, way, outcome) => console.log(JSON.stringify({ id, way, outcome }));

// What another server says may have addresses in it.
const words = (error) =>
	String(error?.message ?? error)
		.replace(/[^\s<>]+@[^\s<>]+/g, "...")
		.slice(0, 300);

// A reply as setReject wants it: in one line, and of what may stand in one (RFC 5321 4.2).
const reason = (reply) =>
	reply
		.replace(/\s*[\r\n]+\s*(\d{3}[- ])?/g, " ")
		.replace(/[^\t\x20-\x7e]/g, "?")
		.slice(0, 500);

async function small(message, config, envelope, deadline, ctx) {
	const when = new Date();
	const raw = await readWhole(message, deadline);
	const id = await idOf(config.idKey, "message", envelope, raw);
	const from = client(raw);
	const object =
		config.https || config.bucket
			? await makeObject(config, from, envelope, id, raw, when)
			: undefined;
	const pushing = new Deadline(deadline.left() - (config.bucket ? BUCKET_MS : 0));
	const failures = [];
	const as = { id, client: from, envelope, when };
	const by = {
		https: (until) => httpsPush(config.https, object, until),
		smtp: (until) => smtpPush(config, as, raw, raw.length, until),
		r2: async () => (await toBucket(config, object, when, deadline)) ?? {},
	};
	let pushes = config.ways.filter((way) => way !== "r2").length;
	for (const way of config.ways) {
		// One that hangs leaves the next its share.
		const until = new Deadline(Math.floor(pushing.left() / Math.max(1, pushes--)));
		try {
			const { refused } = await by[way](until);
			log(id, way, refused === undefined ? "taken" : "refused");
			if (refused === undefined) return;
			message.setReject(reason(refused));
			if (way === "https")
				ctx.waitUntil(httpsConfirm(config.https, id).catch(() => {}));
			return;
		} catch (error) {
			log(id, way, words(error));
			failures.push(`${way}: ${words(error)}`);
		}
	}
	throw new Error(`nobody took it, so its sender keeps it: ${failures.join("; ")}`);
}

// Too large to seal in the time there is: it passes through, or its sender keeps it.
async function large(message, config, envelope, deadline) {
	if (!config.smtp)
		throw new Error(`${message.rawSize} octets are above SEAL_MAX; WAYS has no smtp`);
	const id = await idOf(
		config.idKey,
		"header",
		envelope,
		new TextEncoder().encode(JSON.stringify([message.rawSize, ...message.headers])),
	);
	const body = await readTop(message, deadline);
	const as = { id, client: client(body.top), envelope, when: new Date() };
	const { refused } = await smtpPush(config, as, body, message.rawSize, deadline);
	log(id, "smtp", refused === undefined ? "taken" : "refused");
	if (refused !== undefined) message.setReject(reason(refused));
}

export default {
	async email(message, env, ctx) {
		const deadline = new Deadline(TOTAL_MS);
		const config = configuration(env);
		let paths;
		try {
			paths = envelope(message);
		} catch (error) {
			message.setReject(words(error));
			return;
		}
		if (message.rawSize <= config.sealMax)
			await small(message, config, paths, deadline, ctx);
		else await large(message, config, paths, deadline);
	},

	// By HTTPS, where it has a route.
	async fetch(request, env) {
		return mtaSts(request, env) ?? probe(request, env);
	},
};
