// The Worker's variables and secrets (wrangler.toml), read once an isolate.  What is wrong is
// said by name, with what to write instead; no mail is taken until it is right.

import { recipients } from "./age.js";

const SEAL_MAX = 1024 * 1024; // what the free plan's 10 ms are enough for
const SEAL_MOST = 25 * 1024 * 1024; // Cloudflare's own limit for a message
const WAIT_MOST = 12; // seconds for a verdict: the bucket needs the rest
const WAYS = ["https", "smtp", "r2"];

const fail = (name, what) => {
	throw new Error(`${name}: ${what}`);
};

function key(env, name) {
	const hex = (
		env[name] ?? fail(name, "missing; posthouse worker-config says how to put it")
	).trim();
	if (!/^[0-9a-f]{64}$/i.test(hex)) fail(name, "write 64 hexadecimal digits");
	return Uint8Array.from(hex.match(/../g), (two) => parseInt(two, 16));
}

function sealedTo(env) {
	try {
		return recipients(env.RECIPIENTS ?? "");
	} catch (error) {
		return fail("RECIPIENTS", error.message);
	}
}

// Where home looks (home.conf's bucket.prefix).
function prefix(env) {
	const at = env.BUCKET_PREFIX ?? "pending/";
	return /^[^/].*\/$/.test(at)
		? at
		: fail(
				"BUCKET_PREFIX",
				"write one that ends in a slash and begins with none, as home's",
			);
}

function number(env, name, usual, least, most) {
	const value = env[name] === undefined || env[name] === "" ? usual : Number(env[name]);
	return Number.isInteger(value) && value >= least && value <= most
		? value
		: fail(name, `write a whole number from ${least} to ${most}`);
}

function https(env) {
	let url;
	try {
		url = new URL(env.HTTPS_URL);
	} catch {
		fail(
			"HTTPS_URL",
			"write the address of home's push service, like https://push.example.org",
		);
	}
	const local = ["127.0.0.1", "localhost"].includes(url.hostname);
	if (url.protocol !== "https:" && !(url.protocol === "http:" && local))
		fail("HTTPS_URL", "it must begin with https://");
	return {
		url: url.href.replace(/\/+$/, ""),
		token:
			env.HTTPS_TOKEN?.trim() ||
			fail("HTTPS_TOKEN", "missing; it is this Worker's token at home"),
		wait: number(env, "HTTPS_WAIT", 0, 0, WAIT_MOST),
	};
}

function smtp(env) {
	const tls = env.SMTP_TLS ?? "starttls";
	if (!["starttls", "implicit", "none"].includes(tls))
		fail("SMTP_TLS", 'write "starttls", "implicit", or "none" for a private path');
	if (tls !== "none" && !(env.SMTP_USER && env.SMTP_PASSWORD))
		fail("SMTP_USER", "missing, or SMTP_PASSWORD is; home's listener asks for both");
	return {
		tls,
		host:
			env.SMTP_HOST ||
			fail("SMTP_HOST", "missing; write the name in home's certificate"),
		port: number(env, "SMTP_PORT", tls === "implicit" ? 465 : 587, 1, 65535),
		user: env.SMTP_USER || undefined,
		password: env.SMTP_PASSWORD?.trim(),
	};
}

function read(env) {
	const ways = (env.WAYS ?? "r2")
		.trim()
		.split(/[\s,]+/)
		.filter(Boolean);
	const odd = ways.find((w, n) => !WAYS.includes(w) || ways.indexOf(w) !== n);
	if (ways.length === 0) fail("WAYS", `empty; write some of ${WAYS.join(" ")}`);
	if (odd !== undefined)
		fail("WAYS", `"${odd}"; write some of ${WAYS.join(" ")}, in their order`);
	if (ways.includes("r2") && ways.at(-1) !== "r2")
		fail("WAYS", "r2 keeps what no other way took, so it stands last");
	if (!/^[A-Za-z0-9.-]{1,255}$/.test(env.EDGE_NAME ?? ""))
		fail(
			"EDGE_NAME",
			"write the name that home knows this Worker by, like worker.example.org",
		);
	return {
		ways,
		edge: env.EDGE_NAME,
		recipients: sealedTo(env),
		macKey: key(env, "MAC_KEY"),
		idKey: key(env, "ID_KEY"),
		sealMax: number(env, "SEAL_MAX", SEAL_MAX, 1024, SEAL_MOST),
		https: ways.includes("https") ? https(env) : undefined,
		smtp: ways.includes("smtp") ? smtp(env) : undefined,
		bucket: ways.includes("r2")
			? (env.MAIL ?? fail("MAIL", "the R2 bucket is not bound"))
			: undefined,
		prefix: prefix(env),
	};
}

const known = new WeakMap();

export function configuration(env) {
	if (!known.has(env)) known.set(env, read(env));
	return known.get(env);
}
