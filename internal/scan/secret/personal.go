package secret

import (
	"regexp"
	"slices"
	"strings"
)

// personal are shapes of what names a person. Each is checked further, since a metadata
// text holds much that only looks alike.
var personal = []struct {
	kind  string
	marks []string // one of which is in whatever matches; none for any
	shape *regexp.Regexp
	check func(string) bool
}{
	{"an e-mail address", []string{"@"}, regexp.MustCompile(`(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.){1,8}[a-z]{2,18}\b`), address},
	{"a telephone number", []string{"+"}, regexp.MustCompile(`(?:(?i:tel|phone|telephone|mobile)\W{1,4}|\B)\+[1-9][0-9]{0,2}(?:[ ./-]{1,2}\(?[0-9]{1,5}\)?){2,6}(?:[^\w.]|$)`), telephone},
	{"the number of a bank account (IBAN)", nil, regexp.MustCompile(`\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b`), iban},
	{"the name of a user, in the path of a home folder", []string{"/home/", "/Users/", `\Users\`}, regexp.MustCompile(`(?:(?:^|[\s"'=(:,;\[])/home/|(?:^|[\s"'=(:,;\[])/Users/|\b[A-Za-z]:\\+Users\\+)([A-Za-z][\w.-]{1,31})[/\\]`), home},
}

// maxCandidates is how many matches of one shape in a text are checked.
const maxCandidates = 1000

// Personal gives the data in a text by which a person may be known, at most one of each kind.
func Personal(text string) []Secret {
	var out []Secret
	for _, p := range personal {
		if len(p.marks) > 0 && !slices.ContainsFunc(p.marks, func(m string) bool { return strings.Contains(text, m) }) {
			continue
		}
		for _, at := range p.shape.FindAllStringSubmatchIndex(text, maxCandidates) {
			from, to := at[0], at[1]
			if len(at) > 2 {
				from, to = at[2], at[3]
			}
			if p.check(text[from:to]) {
				out = append(out, Secret{p.kind, from})
				break
			}
		}
	}
	return out
}

// address leaves out addresses that stand for no person, and names of files and packages
// that have the shape of one.
func address(s string) bool {
	name, domain, _ := strings.Cut(strings.ToLower(s), "@")
	top := domain[strings.LastIndexByte(domain, '.')+1:]
	switch name {
	case "git", "noreply", "no-reply", "donotreply", "info", "support", "contact", "admin", "security", "help", "hello", "team", "user", "username", "name", "email", "mail", "you", "test":
		return false
	}
	switch top {
	case "example", "invalid", "test", "local", "localhost", "internal", "png", "jpg", "jpeg", "gif", "svg", "webp", "py", "js", "ts", "so", "json", "txt", "bin", "onnx", "html", "css":
		return false
	}
	for _, none := range []string{"example.com", "example.org", "example.net", "noreply.github.com", "domain.com", "email.com", "git.sr.ht"} {
		if domain == none || strings.HasSuffix(domain, "."+none) {
			return false
		}
	}
	return true
}

// telephone asks for as many digits as international numbers have (ITU-T E.164).
func telephone(s string) bool {
	digits := 0
	for _, c := range s[strings.IndexByte(s, '+'):] {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	return digits >= 9 && digits <= 15
}

// ibanLengths are those of accounts in the countries whose numbers are looked for (ISO 13616 registry).
var ibanLengths = map[string]int{"AT": 20, "BE": 16, "CH": 21, "CZ": 24, "DE": 22, "DK": 18, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "IE": 22, "IT": 27, "LI": 21, "LU": 20, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "SE": 24}

// iban checks the length and the checksum (ISO 7064, MOD 97-10).
func iban(s string) bool {
	s = strings.ReplaceAll(s, " ", "")
	if want, known := ibanLengths[s[:2]]; !known || want != len(s) {
		return false
	}
	rest := 0
	for _, c := range s[4:] + s[:4] {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return rest == 1
}

// accounts are names that images and services give to users.
var accounts = strings.Fields(`
user users username admin root ubuntu debian centos fedora runner runneradmin jenkins circleci gitlab-runner
buildkite-agent vscode codespace gitpod jovyan ec2-user azureuser opc app appuser worker builder build dev
developer docker model models mluser mambauser conda condauser nonroot nobody test tester travis vsts
vagrant sagemaker-user sagemaker studio-lab-user guest default public shared data workspace student me you name
your_name yourname`)

func home(s string) bool { return !slices.Contains(accounts, strings.ToLower(s)) }
