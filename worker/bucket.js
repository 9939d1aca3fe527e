// The last way: the sealed object into R2, where home's drain finds it.

import { macOf } from "./object.js";

// Durable when it returns.  Only names, times and the MAC stand outside the seal: whatever a sender
// could choose might be too large for metadata, or tell something.
export async function toBucket(config, object, when, deadline) {
	const name = `${config.prefix}${object.id}.age`;
	const what = {
		sha256: object.hash,
		httpMetadata: { contentType: "application/octet-stream" },
		customMetadata: {
			"posthouse-mac": object.mac,
			"posthouse-edge": config.edge,
			"posthouse-received": String(when.getTime()),
		},
	};
	const put = (more) =>
		deadline.limit(
			config.bucket.put(name, object.sealed, { ...what, ...more }),
			"the bucket",
		);
	if (await put({ onlyIf: new Headers({ "if-none-match": "*" }) })) return;
	// This message was here before: run twice, or sent again.  It counts only if we made it.
	const there = await deadline.limit(config.bucket.head(name), "the bucket");
	const mac = there?.customMetadata?.["posthouse-mac"],
		hash = there?.checksums?.sha256;
	if (
		mac !== undefined &&
		hash !== undefined &&
		mac === (await macOf(config.macKey, object.id, new Uint8Array(hash)))
	)
		return;
	if (!(await put({}))) throw new Error("the bucket did not take it");
}
