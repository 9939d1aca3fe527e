// POST /	gives the body to the Worker as a message from Email Routing, and has a bucket that keeps nothing.

import worker from "../worker/posthouse.js";

const bucket = { put: async () => ({}) };

export default {
	async fetch(request, env, ctx) {
		const message = {
			from: "a@far.test",
			to: "alice@example.test",
			raw: request.body,
			rawSize: Number(request.headers.get("content-length")),
			headers: new Headers(),
			setReject(reason) {
				throw new Error(reason);
			},
		};
		await worker.email(message, { ...env, MAIL: bucket }, ctx);
		return new Response("done\n");
	},
};
