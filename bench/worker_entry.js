// POST /?how=posthouse|age-encryption|unsealed&times=N	makes N objects of the body, or all of an object but its seal.

import { Encrypter } from "./age_encryption.js";
import { seal } from "../worker/age.js";
import { configuration } from "../worker/configuration.js";
import { idOf, macOf } from "../worker/object.js";

const envelope = { from: "a@far.test", to: "alice@example.test" };

async function byAgeEncryption(parts, recipient) {
	const encrypter = new Encrypter();
	encrypter.addRecipient(recipient);
	return encrypter.encrypt(new Uint8Array(await new Blob(parts).arrayBuffer()));
}

export default {
	async fetch(request, env) {
		const asked = new URL(request.url).searchParams,
			how = asked.get("how");
		const config = configuration(env);
		const raw = new Uint8Array(await request.arrayBuffer());
		for (let n = Number(asked.get("times")); n > 0; n--) {
			const id = await idOf(config.idKey, "message", envelope, raw);
			const sealed =
				how === "posthouse"
					? await seal([raw], config.recipients)
					: how === "unsealed"
						? raw
						: await byAgeEncryption([raw], env.RECIPIENTS);
			await macOf(
				config.macKey,
				id,
				new Uint8Array(await crypto.subtle.digest("SHA-256", sealed)),
			);
		}
		return new Response("done\n");
	},
};
