// Cloudflare ends a Worker's mail after 50 s for good, so all is said within 20: what remains of
// them is each step's own limit.

export const TOTAL_MS = 20000;
export const BUCKET_MS = 5000; // kept back for the bucket, which is the last way

export class Deadline {
	constructor(ms, from = Date.now()) {
		this.end = from + ms;
	}

	left(most = Infinity) {
		return Math.max(0, Math.min(most, this.end - Date.now()));
	}

	// The promise's outcome, or an error that says what took too long.
	async limit(promise, what, most) {
		let timer;
		const ms = this.left(most);
		const late = new Promise((_, reject) => {
			timer = setTimeout(
				() => reject(new Error(`${what}: no answer in ${ms} ms`)),
				ms,
			);
		});
		try {
			return await Promise.race([promise, late]);
		} finally {
			clearTimeout(timer);
			promise.catch(() => {}); // it may still fail, when nobody waits any more
		}
	}
}
