// GET https://mta-sts.DOMAIN/.well-known/mta-sts.txt (RFC 8461 3.2): the policy of a domain whose
// mail Email Routing receives.

const MX = "*.mx.cloudflare.net"; // all of Email Routing's are below it
const MAX_AGE = { testing: 86400, enforce: 604800, none: 86400 };

// undefined: it is not asked for, or MTA_STS says of no policy.
export function mtaSts(request, env) {
	const { hostname, pathname } = new URL(request.url);
	const maxAge = MAX_AGE[env.MTA_STS];
	if (pathname !== "/.well-known/mta-sts.txt" || !hostname.startsWith("mta-sts.") || !maxAge)
		return undefined;
	return new Response(
		`version: STSv1\r\nmode: ${env.MTA_STS}\r\nmx: ${MX}\r\nmax_age: ${maxAge}\r\n`,
		{ headers: { "content-type": "text/plain" } },
	);
}
