// Mail addresses as an object has them (doc/OBJECT): RFC 5321's spelling, quoted where it must be,
// the domain in lower case and A-labels.

// RFC 5322 3.2.3, and RFC 6531's octets.
const ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\u0080-\\uffff-]+";
const ATOM = new RegExp(`^${ATEXT}(\\.${ATEXT})*$`);
const LOCAL_MAX = 64,
	DOMAIN_MAX = 255; // RFC 5321 4.5.3.1, octets

const octets = (s) => new TextEncoder().encode(s).length;

function domainSpelled(domain) {
	if (/^\[[0-9A-Za-z:.]+\]$/.test(domain)) return domain;
	// The URL parser knows IDNA (UTS 46); it also reads 1.2.3.4 and %41, which are no domains.
	const host = /[%\s/?#@:\\]/.test(domain) ? "" : hostOf(domain);
	if (host === "" || /^[0-9.]+$/.test(host) || octets(host) > DOMAIN_MAX)
		throw new Error("its domain is none");
	return host.replace(/\.$/, "");
}

function hostOf(domain) {
	try {
		return new URL(`http://${domain}/`).hostname;
	} catch {
		return "";
	}
}

function localSpelled(local) {
	if (local === "" || octets(local) > LOCAL_MAX || /[\x00-\x1f\x7f]/.test(local))
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
