// Package secret finds in text what should not be passed on with a model: keys and tokens,
// by the shapes that their issuers publish, and data of persons.
package secret

import (
	"fmt"
	"regexp"

	"assay/internal/scan"
)

// Secret is what was found. The text itself is not repeated anywhere.
type Secret struct {
	Kind   string // with its article: "an access key of AWS"
	Offset int    // in bytes
}

const (
	secretRemedy   = "Have it revoked, since whoever had the file may know it, and remove it from the file."
	personalRemedy = "Remove it from the file, unless the person wants it to be there."
)

// Rules are those of a format for what Findings gives.
func Rules(format string) []scan.Rule {
	return []scan.Rule{{ID: format + "-secret", Title: "The text holds a secret"}, {ID: format + "-personal", Title: "The text holds data of a person"}}
}

// Findings tells of secrets and of data of persons in a text, which a message calls by what
// it is: "The metadata". Their places have the offset in the text alone.
func Findings(format, what, text string) []scan.Finding {
	var out []scan.Finding
	if len(text) < minBytes {
		return out
	}
	add := func(found []Secret, rule string, severity scan.Severity, remedy string) {
		for _, s := range found {
			out = append(out, scan.Finding{Rule: format + rule, Severity: severity, Place: scan.Place{Offset: int64(s.Offset)}, Message: fmt.Sprintf("%s holds what looks like %s.", what, s.Kind), Remedy: remedy})
		}
	}
	add(Find(text), "-secret", scan.High, secretRemedy)
	add(Personal(text), "-personal", scan.Low, personalRemedy)
	return out
}

// minBytes is the length of the shortest text that may hold any of it.
const minBytes = 8

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
