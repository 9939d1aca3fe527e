// The Worker in the real runtime (workerd), offline, with R2's simulator; its files as they are.
//
//	node runtime.mjs <configuration	prints READY PORT; ends with its standard input
//
// A line of JSON: { "modules": folder of node_modules, "worker": folder, "entry": file,
// "port": 0 for any, "bindings": {...}, "r2": folder, "more": modules beside the Worker's }

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readdirSync } from "node:fs";
import path from "node:path";

// Node 18, which Debian 12 has, keeps it elsewhere.
globalThis.File ??= (await import("node:buffer")).File;

const lines = createInterface({ input: process.stdin });
const config = JSON.parse(await new Promise((first) => lines.once("line", first)));
const { Miniflare, Log, LogLevel } = createRequire(path.join(config.modules, "x"))("miniflare");
const top = path.dirname(config.worker);
const files = readdirSync(config.worker)
	.filter((name) => /\.(js|wasm)$/.test(name))
	.map((name) => ({
		type: name.endsWith(".js") ? "ESModule" : "CompiledWasm",
		path: path.join(config.worker, name),
	}));

const runtime = new Miniflare({
	host: "127.0.0.1",
	port: config.port,
	cf: false,
	log: new Log(LogLevel.WARN),
	modulesRoot: top,
	modules: [{ type: "ESModule", path: config.entry }, ...files, ...(config.more ?? [])],
	compatibilityDate: "2026-04-01",
	r2Buckets: { MAIL: "mail" },
	r2Persist: config.r2 ?? false,
	bindings: config.bindings,
});
console.log(`READY ${(await runtime.ready).port}`);
lines.on("close", async () => {
	await runtime.dispose();
	process.exit(0);
});
