// Mail addresses as an object has them (doc/OBJECT): RFC 5321's spelling, quoted where it must be,
// the domain in lower case and A-labels.

// RFC 5322 3.2.3, and RFC 6531's octets.
const ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\u0080-\\uffff-]+";
const ATOM = new RegExp(`^${ATEXT}(\\.${ATEXT})*$`);
const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const LABELS = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const LOCAL_MAX = 64,
	DOMAIN_MAX = 255; // RFC 5321 4.5.3.1, octets

const octets = (s) => new TextEncoder().encode(s).length;

function hostOf(url) {
	try {
		return new URL(url).hostname;
	} catch {
		return "";
	}
}

// "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 4.1.3).
function isLiteral(domain) {
	const [, v6, v4] = domain.match(/^\[(?:IPv6:([0-9a-f:.]+)|([0-9.]+))\]$/i) ?? [];
	if (v6 !== undefined) return hostOf(`http://[${v6}]/`) !== "";
	return v4 !== undefined && hostOf(`http://${v4}/`) === v4;
}

function domainSpelled(domain) {
	if (isLiteral(domain)) return domain;
	// The URL parser knows IDNA (UTS 46); these would end a host, or be decoded.
	const idn = () => (/[%\s/?#@:\\]/.test(domain) ? "" : hostOf(`http://${domain}/`));
	const host = (isAscii(domain) ? domain.toLowerCase() : idn()).replace(/\.$/, "");
	if (!LABELS.test(host) || /(^|\.)\d+$/.test(host) || host.length > DOMAIN_MAX)
		throw new Error("its domain is none");
	return host;
}

function localSpelled(local) {
	const odd = /[\x00-\x1f\x7f-\x9f]|\p{Surrogate}/u;
	if (local === "" || octets(local) > LOCAL_MAX || odd.test(local))
		throw new Error("its local part is none");
	return ATOM.test(local) ? local : `"${local.replace(/["\\]/g, "\\$&")}"`;
}

// A quoted local part as its meaning: "a\"b" is a"b.
const unquoted = (local) =>
	/^"(.*)"$/s.test(local) ? local.slice(1, -1).replace(/\\(.)/gs, "$1") : local;

// "" and "<>" are the null reverse-path.  Throws what is wrong with it.
export function spelled(address) {
	const bare = address.replace(/^<(.*)>$/s, "$1");
	if (bare === "") return "";
	const at = bare.lastIndexOf("@");
	if (at < 1) throw new Error("it has no @");
	return `${localSpelled(unquoted(bare.slice(0, at)))}@${domainSpelled(bare.slice(at + 1))}`;
}

export const isAscii = (address) => /^[\x00-\x7f]*$/.test(address);
