// The tests' door to the Worker: calls its email() in the same isolate, so that setReject is seen,
// any size goes, and a null sender is allowed.
//
//	POST /email?from=..&to=..[&size=N][&bucket=fails]	a message -> { outcome, reason, ms }
//				stalls=1: after it comes neither more nor an end
//	GET /bucket		the names in it
//	GET /bucket/NAME	an object; its metadata as x-meta-...
//	PUT /bucket/NAME	puts one, with x-meta-... as its metadata
//	/mail/...		the same bucket as home's drain asks it, by S3 (s3.js)

import worker from "../../worker/posthouse.js";
import { s3 } from "./s3.js";

const broken = new Proxy(
	{},
	{
		get: () => async () => {
			throw new Error("R2 is out of order (10001)");
		},
	},
);

const whole = (request) => request.body ?? new Response("").body;

function stalled(request) {
	const { readable, writable } = new TransformStream();
	request.body.pipeTo(writable, { preventClose: true });
	return readable;
}

async function mail(request, env, ctx, asked) {
	const result = { outcome: "accept" };
	const began = Date.now();
	const message = {
		from: asked.get("from"),
		to: asked.get("to") ?? "",
		raw: asked.has("stalls") ? stalled(request) : whole(request),
		rawSize: Number(asked.get("size") ?? request.headers.get("content-length")),
		headers: new Headers(),
		setReject(reason) {
			Object.assign(result, { outcome: "reject", reason });
		},
	};
	try {
		await worker.email(
			message,
			asked.get("bucket") === "fails" ? { ...env, MAIL: broken } : env,
			ctx,
		);
	} catch (error) {
		Object.assign(result, {
			outcome: "throw",
			reason: String(error?.message ?? error),
		});
	}
	const ms = Date.now() - began;
	if (request.body && !message.raw.locked)
		// what the Worker did not want is read for HTTP's sake
		await request.body.pipeTo(new WritableStream());
	return Response.json({ ...result, ms });
}

async function bucket(request, env, name) {
	if (name === "") return Response.json((await env.MAIL.list()).objects.map((o) => o.key));
	if (request.method === "PUT") {
		const meta = [...request.headers].filter(([k]) => k.startsWith("x-meta-"));
		await env.MAIL.put(name, await request.arrayBuffer(), {
			customMetadata: Object.fromEntries(meta.map(([k, v]) => [k.slice(7), v])),
		});
		return new Response(null, { status: 204 });
	}
	const object = await env.MAIL.get(name);
	const headers = Object.entries(object.customMetadata).map(([k, v]) => [`x-meta-${k}`, v]);
	return new Response(object.body, { headers });
}

export default {
	async fetch(request, env, ctx) {
		const { pathname, searchParams } = new URL(request.url);
		if (pathname === "/email") return mail(request, env, ctx, searchParams);
		if (pathname.startsWith("/bucket"))
			return bucket(
				request,
				env,
				decodeURIComponent(pathname.slice("/bucket/".length)),
			);
		if (/^\/mail(\/|$)/.test(pathname))
			return s3(request, env.MAIL, env.S3_KEY, env.S3_SECRET);
		return worker.fetch(request, env, ctx);
	},
};
