// Package secret finds keys and tokens in text by the shapes that their issuers publish.
package secret

import "regexp"

// Secret is what was found. The text itself is not repeated anywhere.
type Secret struct {
	Kind   string // with its article: "an access key of AWS"
	Offset int    // in bytes
}

// Remedy is what to do about a secret in a file that was passed on.
const Remedy = "Have it revoked, since whoever had the file may know it, and remove it from the file."

// Each pattern has a prefix that only its issuer uses and the length of the rest, so that
// digests and encoded data do not match.
var patterns = []struct {
	kind  string
	shape *regexp.Regexp
}{
	{"an access key of AWS", regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z2-7]{16}\b`)},
	{"a token of GitHub", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b`)},
	{"a token of GitLab", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20}\b`)},
	{"a token of Hugging Face", regexp.MustCompile(`\bhf_[A-Za-z]{34}\b`)},
	{"a key of OpenAI", regexp.MustCompile(`\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}`)},
	{"a key of Anthropic", regexp.MustCompile(`\bsk-ant-(?:api|admin)\d\d-[A-Za-z0-9_-]{80,}`)},
	{"a key of Google", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}\b`)},
	{"a token of Slack", regexp.MustCompile(`\bxox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{16,}`)},
	{"a key of Stripe", regexp.MustCompile(`\b[rs]k_live_[A-Za-z0-9]{24,}\b`)},
	{"a token of npm", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`)},
	{"a signed token (JWT)", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}`)},
	{"a password in an address", regexp.MustCompile(`\b[a-z][a-z0-9+.-]{1,15}://[^\s/:@"'<>{}$]{1,64}:[^\s/:@"'<>{}$]{3,64}@[A-Za-z0-9.-]+`)},
}

// Find gives the secrets in a text, at most one of each kind.
func Find(text string) []Secret {
	var out []Secret
	for _, p := range patterns {
		if at := p.shape.FindStringIndex(text); at != nil {
			out = append(out, Secret{p.kind, at[0]})
		}
	}
	return out
}
