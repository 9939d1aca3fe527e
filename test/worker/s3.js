// R2's S3 face (Amazon S3 API reference, 2006-03-01) over the bucket that the Worker writes to, as
// far as home uses it: ListObjectsV2 in pages, GET, HEAD, PUT with If-None-Match, DELETE, copies,
// metadata.  Path style: /BUCKET/KEY.  What is not signed by the key pair that it was given (AWS
// signature version 4) is refused as R2 refuses it.

const encoder = new TextEncoder();
const AUTHORIZATION =
	/^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\S+), ?SignedHeaders=(\S+), ?Signature=(\w+)$/;
const META = "x-amz-meta-";
const SKEW_MS = 15 * 60 * 1000;

const hex = (octets) =>
	[...new Uint8Array(octets)].map((o) => o.toString(16).padStart(2, "0")).join("");

const sha256 = async (text) => hex(await crypto.subtle.digest("SHA-256", encoder.encode(text)));

async function hmac(secret, text) {
	const as = { name: "HMAC", hash: "SHA-256" };
	const key = await crypto.subtle.importKey("raw", secret, as, false, ["sign"]);
	return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
}

const escape = (text) =>
	text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);

const xml = (status, text) =>
	new Response(`<?xml version="1.0" encoding="UTF-8"?>${text}`, {
		status,
		headers: { "content-type": "application/xml" },
	});

const refuse = (status, code, message = code) =>
	xml(status, `<Error><Code>${code}</Code><Message>${escape(message)}</Message></Error>`);

// Of x-amz-date, "20261121T034000Z".
const dateOf = (text) =>
	Date.parse(text.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));

// undefined: it is signed as it must be.
async function unsigned(request, url, key, secret) {
	const field = (name) => request.headers.get(name) ?? "";
	const [, by, scope, names, signature] = AUTHORIZATION.exec(field("authorization")) ?? [];
	if (by === undefined) return refuse(403, "AccessDenied");
	if (by !== key) return refuse(403, "InvalidAccessKeyId");
	const date = field("x-amz-date");
	if (!(Math.abs(dateOf(date) - Date.now()) < SKEW_MS))
		return refuse(403, "RequestTimeTooSkewed");
	const canonical = [
		request.method,
		url.pathname,
		url.search.slice(1).split("&").sort().join("&"),
		...names.split(";").map((name) => `${name}:${field(name).trim()}`),
		"",
		names,
		field("x-amz-content-sha256"),
	].join("\n");
	const text = ["AWS4-HMAC-SHA256", date, scope, await sha256(canonical)].join("\n");
	let signing = encoder.encode(`AWS4${secret}`);
	for (const part of [...scope.split("/"), text]) signing = await hmac(signing, part);
	return hex(signing) === signature ? undefined : refuse(403, "SignatureDoesNotMatch");
}

async function list(bucket, asked) {
	const page = await bucket.list({
		prefix: asked.get("prefix") ?? "",
		limit: Number(asked.get("max-keys") ?? 1000),
		cursor: asked.get("continuation-token") ?? undefined,
	});
	const encoded = asked.get("encoding-type") === "url";
	const name = (key) => (encoded ? encodeURIComponent(key) : escape(key));
	const lines = page.objects.map(
		(o) =>
			`<Contents><Key>${name(o.key)}</Key><Size>${o.size}</Size>` +
			`<LastModified>${o.uploaded.toISOString()}</LastModified></Contents>`,
	);
	const next = page.truncated
		? `<NextContinuationToken>${escape(page.cursor)}</NextContinuationToken>`
		: "";
	return xml(
		200,
		`<ListBucketResult><IsTruncated>${page.truncated}</IsTruncated>${next}` +
			`${encoded ? "<EncodingType>url</EncodingType>" : ""}${lines.join("")}` +
			"</ListBucketResult>",
	);
}

function headersOf(object) {
	const headers = new Headers({
		etag: object.httpEtag,
		"last-modified": object.uploaded.toUTCString(),
		"content-length": String(object.size),
	});
	for (const [name, value] of Object.entries(object.customMetadata))
		headers.set(META + name, value);
	return headers;
}

async function put(bucket, request, key) {
	const meta = [...request.headers]
		.filter(([name]) => name.startsWith(META))
		.map(([name, value]) => [name.slice(META.length), value]);
	const hash = request.headers.get("x-amz-content-sha256");
	const condition = request.headers.get("if-none-match");
	try {
		const done = await bucket.put(key, request.body ?? "", {
			customMetadata: Object.fromEntries(meta),
			sha256: hash === "UNSIGNED-PAYLOAD" ? undefined : hash,
			onlyIf: condition ? new Headers({ "if-none-match": condition }) : undefined,
		});
		return done
			? new Response(null, { headers: { etag: done.httpEtag } })
			: refuse(412, "PreconditionFailed");
	} catch (error) {
		return refuse(400, "BadDigest", String(error?.message ?? error));
	}
}

async function copy(bucket, request, key) {
	const source = decodeURIComponent(request.headers.get("x-amz-copy-source"));
	const from = await bucket.get(source.replace(/^\/?[^/]+\//, ""));
	if (!from) return refuse(404, "NoSuchKey");
	const made = await bucket.put(key, from.body, { customMetadata: from.customMetadata });
	return xml(
		200,
		`<CopyObjectResult><ETag>${escape(made.httpEtag)}</ETag>` +
			`<LastModified>${made.uploaded.toISOString()}</LastModified>` +
			"</CopyObjectResult>",
	);
}

async function ask(bucket, request, key) {
	switch (request.method) {
		case "GET": {
			const object = await bucket.get(key);
			return object
				? new Response(object.body, { headers: headersOf(object) })
				: refuse(404, "NoSuchKey");
		}
		case "HEAD": {
			const object = await bucket.head(key);
			return object
				? new Response(null, { headers: headersOf(object) })
				: new Response(null, { status: 404 });
		}
		case "PUT":
			return request.headers.has("x-amz-copy-source")
				? copy(bucket, request, key)
				: put(bucket, request, key);
		case "DELETE":
			await bucket.delete(key);
			return new Response(null, { status: 204 });
		default:
			return refuse(501, "NotImplemented");
	}
}

export async function s3(request, bucket, key, secret) {
	const url = new URL(request.url);
	const name = decodeURIComponent(url.pathname.replace(/^\/[^/]+\/?/, ""));
	const refused = await unsigned(request, url, key, secret);
	if (refused) return refused;
	if (name !== "") return ask(bucket, request, name);
	if (url.searchParams.has("lifecycle")) return refuse(404, "NoSuchLifecycleConfiguration");
	return url.searchParams.get("list-type") === "2"
		? list(bucket, url.searchParams)
		: refuse(501, "NotImplemented");
}
