// PUT /mail/<id> to home's push service (doc/TUNNEL), through any HTTPS tunnel.

const ANSWER_MAX = 4096; // octets of an answer's text that are read

async function answer(response) {
	const reader = response.body?.getReader();
	let said = "";
	const decoder = new TextDecoder();
	while (reader && said.length < ANSWER_MAX) {
		const { done, value } = await reader.read();
		if (done) break;
		said += decoder.decode(value, { stream: true });
	}
	await reader?.cancel();
	return said.slice(0, ANSWER_MAX).trim();
}

// { refused: reply } where home refused every recipient for good, {} where it has the message.
// Throws where neither is known: the object goes another way then, under the same id.
export async function httpsPush(https, object, deadline) {
	if (!/^[0-9a-f]{64}$/i.test(https.token))
		throw new Error("HTTPS_TOKEN: write 64 hexadecimal digits");
	const url = `${https.url}/mail/${object.id}`;
	const headers = { authorization: `Bearer ${https.token}`, "posthouse-mac": object.mac };
	const wait = Math.min(https.wait, Math.floor(deadline.left() / 1000) - 1);
	if (wait > 0)
		headers.prefer = `wait=${wait}`;
	const stop = AbortSignal.timeout(deadline.left());
	const response = await fetch(url, {
		method: "PUT",
		headers,
		body: object.sealed,
		redirect: "manual",
		signal: stop,
	});
	const said = await deadline.limit(answer(response), "home's answer");
	const taken = [200, 201, 202].includes(response.status),
		refused = response.status === 422 && /^5\d\d[ -]/.test(said);
	// Where the address is wrong, some other server may say 200 to everything.
	if ((taken || refused) && response.headers.get("posthouse-id") !== object.id)
		throw new Error(
			`${response.status}, but not from home's push service: is HTTPS_URL right?`,
		);
	if (taken) return {};
	if (refused) return { refused: said };
	const hint = response.status === 401 ? "; is HTTPS_TOKEN this Worker's at home?" : "";
	throw new Error(
		`home answered ${response.status} ${said.split("\n")[0].slice(0, 200)}${hint}`,
	);
}

// The sender was told; home need not keep what it refused.  Nothing is lost if this is.
export async function httpsConfirm(https, id) {
	await fetch(`${https.url}/mail/${id}`, {
		method: "DELETE",
		headers: { authorization: `Bearer ${https.token}` },
		redirect: "manual",
		signal: AbortSignal.timeout(5000),
	});
}
